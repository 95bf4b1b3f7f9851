import json
import shlex

import pytest

from presets.questions import Choice, Question, QuestionError
from recommender.config.edit import parse_assignment
from tui import cli
from tui.terminal.errors import render

QUESTION = Question(
    "reasoning_lost",
    "The template drops the reasoning of 3 rows.",
    (
        Choice({"data.train_on": "all"}, "Train it."),
        Choice({"data.columns": {"prompt": "my question"}, "data.train_on": "assistant"}, "Leave it out."),
    ),
)


def test_each_answer_is_a_line_that_a_shell_and_set_take_as_it_stands() -> None:
    text = render(QuestionError(QUESTION))
    assert text.splitlines()[0] == "question: The template drops the reasoning of 3 rows."
    for choice in QUESTION.choices:
        line = next(line for line in text.splitlines() if line.strip() == choice.options)
        words = shlex.split(line)
        assert words[::2] == ["--set"] * len(choice.set)
        assert dict(map(parse_assignment, words[1::2])) == dict(choice.set)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_question_that_nobody_answers_ends_with_2(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(_arguments: object) -> int:
        raise QuestionError(QUESTION)

    monkeypatch.setattr(cli, "_run", ask)
    assert cli.main(["data", "x", *(["--json"] if as_json else [])]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("question: ")
    if as_json:
        assert json.loads(printed.out) == {"question": QUESTION.document()}
    else:
        assert printed.out == ""
