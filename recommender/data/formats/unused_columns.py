"""Columns that nothing reads: all are named, and of those that would matter the reason is given."""

from __future__ import annotations

from collections.abc import Sequence

from recommender.data.formats.column_roles import column_of
from recommender.data.formats.rated_answers import words_of
from recommender.data.formats.shape import Shape
from recommender.data.open_file import OpenFile

_ANSWERS = {"answer", "answers", "response", "responses", "output", "completion", "solution", "explanation", "reply",
            "corrected", "revision", "rationale", "reasoning", "thinking", "thought", "thoughts"}  # fmt: skip
_ASKED = {"system", "context", "instruction", "question", "prompt", "input", "history", "tools", "functions", "choice",
          "choices", "option", "options", "persona", "messages", "conversation", "conversations"}  # fmt: skip
_WEIGHTS = {"weight", "loss_weight", "sample_weight"}


def unread_columns(files: Sequence[OpenFile]) -> tuple[str, ...]:
    """Columns of any file that nothing reads, in the order of their first appearance."""
    return tuple(dict.fromkeys(column for file in files for column in file.shape.unread))


def unread_warnings(files: Sequence[OpenFile]) -> list[str]:
    """A sentence for each column that is not read though its name says that it matters."""
    return list(
        dict.fromkeys(sentence for file in files for column in file.shape.unread if (sentence := _why(column, file)))
    )


def _why(column: str, file: OpenFile) -> str:
    words, shape = set(words_of(column)), file.shape
    if shape.name == "preference" and not column_of("system", [column]):
        # The person has said which side is trained.
        return ""
    if column_of("system", [column]):
        return f"'{column}' is not read: {_no_place(shape)}."
    if column.lower() in _WEIGHTS:
        return f"'{column}' is not read: every row counts the same."
    if words & _ANSWERS:
        return f"'{column}' is not read: it may be an answer too. f, or data.columns, says which column is trained."
    if words & _ASKED:
        return f"'{column}' is not read: the model is not shown it. f, or data.columns, gives it a role."
    return ""


def _no_place(shape: Shape) -> str:
    if shape.name in {"text", "prompt-completion"}:
        return f"rows of {shape.name} are trained as they are, without a system message"
    return "another column is the system message"
