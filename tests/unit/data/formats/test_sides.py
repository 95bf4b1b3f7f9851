"""Rows with several answers: which one is trained is asked, and the worse one never is."""

from __future__ import annotations

from typing import Any

import pytest

from presets.errors import InputError
from presets.questions import QuestionError
from recommender.data.formats.examples import Message
from recommender.data.formats.normalise import normalise
from recommender.data.formats.rated_answers import side_named
from recommender.data.formats.recognise import recognise
from recommender.warning import texts
from tests.unit.data.conftest import Profile


def talk(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": answer}]


ROWS: dict[str, dict[str, Any]] = {
    "TRL": {"prompt": "Q?", "chosen": "good", "rejected": "bad"},
    "TRL without a prompt": {"chosen": talk("good"), "rejected": talk("bad")},
    "TRL with turns": {"prompt": talk("")[:1], "chosen": talk("good")[1:], "rejected": talk("bad")[1:]},
    "the worse one first": {"conversation_rejected": talk("bad"), "conversation_chosen": talk("good")},
    "only the worse one is named": {"conversation_rejected": talk("bad"), "conversation": talk("good")},
    "OpenAI": {
        "input": {"messages": talk("")[:1], "tools": [], "parallel_tool_calls": True},
        "preferred_output": talk("good")[1:],
        "non_preferred_output": talk("bad")[1:],
    },
    "HH-RLHF": {"chosen": "\n\nHuman: Q?\n\nAssistant: good", "rejected": "\n\nHuman: Q?\n\nAssistant: bad"},
    "UltraFeedback": {"prompt": "Q?", "messages": talk("good"), "chosen": talk("good"), "rejected": talk("bad")},
    "LLaMA-Factory": {
        "conversations": [{"from": "human", "value": "Q?"}],
        "chosen": {"from": "gpt", "value": "good"},
        "rejected": {"from": "gpt", "value": "bad"},
    },
    "arena": {"conversation_a": talk("bad"), "conversation_b": talk("good"), "winner": "model_b"},
    "arena of texts": {"prompt": "Q?", "response_a": "good", "response_b": "bad", "winner": "a", "model_a": "x"},
    "by number": {"question": "Q?", "answer_0": "bad", "answer_1": "good", "better_answer_id": 1},
    "sentence pairs": {"query": "Q?", "positive": "good", "negative": "bad"},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_is_trained_of_a_comparison_is_asked_and_the_first_answer_trains_the_better_side(
    row: dict[str, Any],
) -> None:
    with pytest.raises(QuestionError) as caught:
        recognise([row], where="rows.jsonl")
    assert caught.value.question.code == "preference"
    told = caught.value.question.choices[0].set
    shape = recognise([row], where="rows.jsonl", wanted=told["data.format"], given=told["data.columns"])
    found = normalise(row, shape)
    assert [(turn.role, turn.content) for turn in found.messages] == [("user", "Q?"), ("assistant", "good")]  # type: ignore[union-attr]  # such rows are conversations


def test_a_format_that_does_not_name_the_answer_is_asked_about_too() -> None:
    with pytest.raises(QuestionError):
        recognise([ROWS["the worse one first"]], where="f", wanted="messages")
    with pytest.raises(QuestionError):
        recognise([ROWS["arena"]], where="f", wanted="preference")
    chosen = recognise([ROWS["the worse one first"]], where="f", wanted="preference")
    assert normalise(ROWS["the worse one first"], chosen).messages[1] == Message("assistant", "good")  # type: ignore[union-attr]  # such rows are conversations


def test_ties_are_left_out(profile: Profile) -> None:
    rows = [{"prompt": f"Q{i}", "response_a": f"A{i}", "response_b": f"B{i}", "winner": w} for i, w in enumerate("abt")]
    with pytest.raises(QuestionError) as caught:
        profile(rows)
    told = {key.removeprefix("data."): value for key, value in caught.value.question.choices[0].set.items()}
    dataset = profile(rows, **told)
    assert [dataset.answer_text(i) for i in range(len(dataset))] == ["A0", "B1"]
    assert "names no better side" in dataset.profile.bad_rows[0].reason


@pytest.mark.parametrize(
    ("value", "place"),
    [("model_a", 0), ("B", 1), ("response_b", 1), ("tie", None), ("tie (bothbad)", None), (True, None), (None, None)],
)
def test_a_verdict_names_a_side_or_none(value: Any, place: int | None) -> None:
    assert side_named(value, ("response_a", "response_b")) == place


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Q", "answer": "A", "score": 0.5},
        {"question": "Q", "option_a": "x", "option_b": "y", "answer": "A"},
        {"question": "Q", "correct_answer": "x", "answer": "A", "best": 1},
        {"messages": talk("A"), "source": "web"},
        {"text": "T", "model": "m"},
    ],
)
def test_names_that_compare_nothing_ask_nothing(row: dict[str, Any]) -> None:
    assert recognise([row], where="f").name in {"alpaca", "messages", "text"}


def test_where_no_column_can_be_offered_the_error_says_what_to_do() -> None:
    with pytest.raises(InputError, match="compares answers") as caught:
        recognise([{"prompt": "Q", "rejected": "bad"}], where="f")
    assert "data.columns.chosen" in caught.value.remedy


@pytest.mark.parametrize("label", [True, 1, "True"])
def test_rows_that_are_marked_are_asked_about(label: Any) -> None:
    with pytest.raises(QuestionError) as caught:
        recognise([{"prompt": "Q", "completion": "A", "label": label}], where="f")
    (choice,) = caught.value.question.choices
    assert caught.value.question.code == "marked_rows"
    assert choice.set == {"data.format": "kto", "data.columns": {"label": "label"}, "data.skip_bad_rows": True}


def test_of_several_data_sets_the_answer_is_for_one_alone(profile: Profile, tmp_path: Any) -> None:
    import json

    from recommender.config.schema import Data
    from recommender.data.load import profile_data

    plain, pairs = tmp_path / "plain.jsonl", tmp_path / "pairs.jsonl"
    plain.write_text(json.dumps({"question": "Q", "answer": "A"}), encoding="utf-8")
    pairs.write_text(json.dumps(ROWS["TRL"]), encoding="utf-8")
    data = Data(train=[str(plain), {"path": str(pairs), "weight": 2}])
    with pytest.raises(QuestionError) as caught:
        profile_data(data, model=None)
    told = caught.value.question.choices[0].set
    columns = {"prompt": "prompt", "chosen": "chosen"}
    assert told == {
        "data.train": [str(plain), {"path": str(pairs), "weight": 2.0, "format": "preference", "columns": columns}]
    }
    assert profile_data(Data(train=told["data.train"]), model=None).profile.rows == 3


def test_how_marked_rows_use_the_chat_template_leaves_the_bad_ones_out(profile: Profile) -> None:
    rows = [{"prompt": f"Q {n}?", "completion": f"c {n}", "label": bool(n % 2)} for n in range(40)]
    plain = profile(rows, format="kto", columns={"label": "label"}, skip_bad_rows=True)
    (said,) = [one.text for one in plain.profile.warnings if one.code == "no_chat_template"]
    assert said.endswith("data.format: kto with data.columns: {label: label, instruction: prompt, output: completion}.")
    assert any("20 rows; the first, rows.jsonl line 1, is not marked as a good" in w
               for w in texts(plain.profile.warnings))  # fmt: skip
    columns = {"label": "label", "instruction": "prompt", "output": "completion"}
    found = profile(rows, format="kto", columns=columns, skip_bad_rows=True)
    assert found.profile.rows == 20 and found.profile.template == "model"
    assert all(found.row(row)["label"] for row in range(20))
