"""Warnings about unread columns: all are named, with the effect of those that would matter."""

from __future__ import annotations

from collections.abc import Sequence

from recommender.data.formats.column_roles import column_of
from recommender.data.formats.rated_answers import words_of
from recommender.data.formats.shape import Shape
from recommender.data.open_file import OpenFile
from recommender.warning import CodedWarning, warning

_ANSWERS = {"answer", "answers", "response", "responses", "output", "completion", "solution", "explanation", "reply",
            "corrected", "revision", "rationale", "reasoning", "thinking", "thought", "thoughts"}  # fmt: skip
_ASKED = {"system", "context", "instruction", "question", "prompt", "input", "history", "tools", "functions", "choice",
          "choices", "option", "options", "persona", "messages", "conversation", "conversations"}  # fmt: skip
_WEIGHTS = {"weight", "loss_weight", "sample_weight"}


def unread_columns(files: Sequence[OpenFile]) -> tuple[str, ...]:
    """Unread columns of any file, in the order of their first appearance."""
    return tuple(dict.fromkeys(column for file in files for column in file.shape.unread))


def unread_warnings(files: Sequence[OpenFile]) -> list[CodedWarning]:
    """Return a warning for each unread column whose name suggests that it matters."""
    return list(
        dict.fromkeys(
            warning("column_unread", said)
            for file in files
            for column in file.shape.unread
            if (said := _why(column, file))
        )
    )


def without_template(files: Sequence[OpenFile]) -> list[CodedWarning]:
    """Return a warning where rows are prompts with completions as they are, and how the chat template would be used."""
    shape = next((file.shape for file in files if file.shape.name == "prompt-completion"), None)
    if shape is None:
        return []
    # Rows that are marked as bad stay out only under the format that reads the mark.
    name, mark = ("kto", f"label: {shape.flag}, ") if shape.flag else ("alpaca", "")
    columns = f"{mark}instruction: {shape.columns['prompt']}, output: {shape.columns['completion']}"
    return [
        warning(
            "no_chat_template",
            "Prompt and completion are used as they are, without the model's chat template.",
            f"To use it: data.format: {name} with data.columns: {{{columns}}}.",
        )
    ]


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
        return f"'{column}' is not read: it may be an answer too. data.columns says which is trained (f in the wizard)."
    if words & _ASKED:
        return f"'{column}' is not read: the model is not shown it. data.columns gives it a role (f in the wizard)."
    return ""


def _no_place(shape: Shape) -> str:
    if shape.name in {"text", "prompt-completion"}:
        return f"rows of {shape.name} are trained as they are, without a system message"
    return "another column is the system message"
