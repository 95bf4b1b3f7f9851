"""Rows with several answers, or with a rating: recognised by their columns, never guessed.

Supervised fine-tuning trains one answer. Where a row has a better and a worse one, two that were compared, or a mark,
the person says which is trained.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from presets.errors import InputError
from presets.questions import Choice, Question, QuestionError
from recommender.data.formats.examples import marked
from recommender.data.formats.role_names import turns_in

Rows = Sequence[Mapping[str, Any]]

FLAGS = ("kto_tag", "label")
"""Columns that say whether a row is a good example."""
ASKED = ("prompt", "conversations", "messages", "question", "instruction", "query", "input", "inputs", "post")
"""Columns that may hold the question of a chosen answer."""
_WINNING = {"chosen", "preferred", "winner", "winning", "better", "best", "accepted", "positive", "good", "correct"}
_LOSING = {"rejected", "dispreferred", "nonpreferred", "unpreferred", "loser", "losing", "worse", "worst", "negative",
           "bad", "incorrect", "wrong", "discarded"}  # fmt: skip
_SURE = {"chosen", "preferred", "winner", *_LOSING}
"""Words that tell of a comparison also where they stand alone."""
_NOT = {"non", "not", "un", "dis"}
_COMPARED = {"response", "answer", "completion", "output", "conversation", "conversations", "messages", "reply",
             "generation", "summary", "ref", "score", "rating", "reward", "model", "assistant",
             "candidate"}  # fmt: skip
"""Names of compared columns that differ in their ending alone: answer_a and answer_b."""
_ENDINGS = (("a", "b"), ("0", "1"), ("1", "2"), ("left", "right"))
_VERDICTS = {"winner", "better", "preferred", "preference", "choice", "chosen", "vote", "best", "safer", "verdict"}


@dataclass(frozen=True, slots=True)
class Sides:
    """The answer columns of compared rows.

    Attributes:
        winning: Columns with the better answer, the likeliest first.
        compared: Pairs of columns of which neither is named as the better one.
        losing: Columns with the worse answer.
        verdict: The column that says which of a compared pair is better; empty where there is none.
        evidence: Columns that tell of it.
    """

    winning: tuple[str, ...]
    compared: tuple[str, ...]
    losing: tuple[str, ...]
    verdict: str
    evidence: tuple[str, ...]


def words_of(name: str) -> list[str]:
    """The words of a column's name, in lower case: `nonPreferred_output2` has non, preferred, output and 2."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z]+|\d+", apart.lower())


def is_losing(name: str) -> bool:
    """Whether a column's name marks the worse side of a comparison."""
    words = words_of(name)
    return bool(_LOSING & set(words)) or any(first in _NOT and second in _WINNING for first, second in pairwise(words))


def find_sides(rows: Rows, columns: Sequence[str]) -> Sides | None:
    """The answer columns of compared rows; None where nothing tells of a comparison.

    Args:
        rows: The first rows.
        columns: Every column of them.
    """
    said = [column for column in columns if _holds_answer(rows, column)]
    losing = [column for column in columns if is_losing(column)]
    winning = [column for column in columns if column not in losing and _WINNING & set(words_of(column))]
    compared = _compared(columns)
    sure = [column for column in (*winning, *losing) if _SURE & set(words_of(column)) or column in losing]
    if not compared and not sure:
        return None
    neither = tuple(column for column in compared if column in said)
    verdict = next((column for column in columns if _is_verdict(rows, column, neither)), "")
    return Sides(
        winning=tuple(column for column in winning if column in said and column != verdict),
        compared=neither,
        losing=tuple(column for column in losing if column in said),
        verdict=verdict,
        evidence=tuple(column for column in columns if column in {*sure, *compared, *winning}),
    )


def _holds_answer(rows: Rows, column: str) -> bool:
    """Whether a column holds texts that may be an answer, or turns; a word for the better side is none."""
    held = [value for row in rows if (value := row.get(column)) is not None]
    if any(isinstance(value, list | Mapping) for value in held):
        return any(isinstance(value, Mapping) or _is_turns(value) for value in held)
    texts = [value for value in held if isinstance(value, str)]
    return bool(texts) and not set(words_of(column)) & {"model", "id", "reason", "score", "rating"}


def _is_turns(value: Any) -> bool:
    turns = turns_in(value)
    return bool(turns) and all(isinstance(turn, Mapping) for turn in turns)


def _compared(columns: Sequence[str]) -> list[str]:
    """Columns of the pairs whose names differ only in their ending, the first pair's first."""
    found: list[str] = []
    known = {tuple(words_of(column)): column for column in columns}
    for words, column in known.items():
        for first, second in _ENDINGS:
            other = known.get((*words[:-1], second))
            if words[-1:] == (first,) and other and set(words[:-1]) & _COMPARED:
                found += [column, other]
    return list(dict.fromkeys(found))


def _is_verdict(rows: Rows, column: str, compared: Sequence[str]) -> bool:
    held = [value for row in rows if (value := row.get(column)) is not None]
    named = set(words_of(column)) & _VERDICTS
    return bool(named and len(compared) == 2 and any(side_named(value, compared) is not None for value in held))


def side_named(value: Any, compared: Sequence[str]) -> int | None:
    """The index of the compared column that a verdict names; None for a tie and for a verdict that names neither."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    said = words_of(str(value))
    for place, column in enumerate(compared):
        if str(value) == column or (said and said[-1] == words_of(column)[-1] and not {"tie", "both"} & set(said)):
            return place
    return None


def question_of_sides(columns: Sequence[str], where: str, sides: Sides) -> InputError:
    """The question which answer of a comparison is trained; an error where no column can be offered.

    Args:
        columns: Every column of the first rows.
        where: The file.
        sides: Their answers.
    """
    evidence = ", ".join(sides.evidence[:6])
    text = (
        f"{where} compares answers ({evidence}), as preference pairs for DPO do: supervised fine-tuning trains one "
        "side alone, and never the worse one. Which answers are to be learnt?"
    )
    ways = tuple(_ways(columns, sides))
    if not ways:
        return InputError(
            text, remedy="Name the column: --set data.columns.chosen=COLUMN --set data.format=preference."
        )
    return QuestionError(Question("preference", text, ways))


def _ways(columns: Sequence[str], sides: Sides) -> Iterable[Choice]:
    answers = {*sides.winning, *sides.compared, *sides.losing}
    asked = asked_column(columns, answers)
    prompt = {"prompt": asked} if asked else {}
    for column in sides.winning:
        yield _chosen({**prompt, "chosen": column}, f"Train '{column}' alone.")
    if sides.verdict and len(sides.compared) == 2:
        first, second = sides.compared
        named = {**prompt, "chosen": first, "rejected": second, "winner": sides.verdict}
        yield _chosen(named, f"Train the side that '{sides.verdict}' names; ties are left out.", leave_out=True)
    plain = [column for column in columns if column.lower() in PLAIN and column not in {*answers, asked}]
    if asked.lower() in PLAIN and not (sides.winning or sides.compared):
        yield _chosen({"chosen": asked}, f"Train '{asked}' alone.")
    for column in (*plain, *(sides.compared if not sides.winning else ())):
        yield _chosen({**prompt, "chosen": column}, f"Train '{column}' of every row.")


PLAIN = ("completion", "response", "output", "answer", "messages", "conversations", "conversation")
"""Names of an answer beside which another column holds a worse one."""


def _chosen(columns: Mapping[str, str], text: str, *, leave_out: bool = False) -> Choice:
    skipped = {"data.skip_bad_rows": True} if leave_out else {}
    return Choice({"data.format": "preference", "data.columns": dict(columns), **skipped}, text)


def asked_column(columns: Sequence[str], answers: Iterable[str] = ()) -> str:
    """The column with the question of the answers; empty where none has such a name."""
    lower = {column.lower(): column for column in columns if column not in set(answers)}
    return next((lower[name] for name in ASKED if name in lower), "")


def question_of_marks(rows: Rows, columns: Sequence[str], where: str) -> QuestionError | None:
    """The question whether rows marked good or bad are all trained; None where no column holds such a mark.

    Args:
        rows: The first rows.
        columns: Every column of them.
        where: The file.
    """
    flags = [column for column in FLAGS if column in columns]
    answers = set(PLAIN) & set(columns)
    # TRL's rows have a completion; beside other answers 1 and 0 may as well be the names of classes.
    numbers = "completion" in columns or flags[:1] == ["kto_tag"]
    if not (flags and answers and all(marked(row.get(flags[0]), numbers=numbers) is not None for row in rows)):
        return None
    text = (
        f"{where} holds rows marked good or bad ('{flags[0]}'), as KTO takes them: supervised fine-tuning would learn "
        "the bad ones too. Which rows are to be learnt?"
    )
    good = {"data.format": "kto", "data.columns": {"label": flags[0]}, "data.skip_bad_rows": True}
    return QuestionError(
        Question("marked_rows", text, (Choice(good, f"Train the rows whose '{flags[0]}' is true, and no other."),))
    )
