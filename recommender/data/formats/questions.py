"""Questions about the columns of ambiguous rows; every answer names a format and its columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from presets.questions import Choice, Question, QuestionError
from recommender.data.formats.column_roles import likely_pairs, plain_name, text_columns
from recommender.data.formats.rated_answers import words_of
from recommender.data.formats.role_names import MOST_WORDS, RoleNames, role_of, turns_in

Rows = Sequence[Mapping[str, Any]]

MOST_CHOICES = 6
_SPEAKER = ("role", "from", "speaker", "sender", "author", "who", "participant", "actor")
_SAID = ("content", "text", "value", "message", "body", "utterance", "msg", "line", "says")
_TALKS = {"conversation", "conv", "dialog", "dialogue", "thread", "session", "chat", "ticket", "case", "conversationid"}
_LONGEST_WORD = 40


def ask_which_turns(rows: Rows, turns: Sequence[str], where: str) -> QuestionError:
    """The question which of several columns of conversations is trained.

    Args:
        rows: The first rows.
        turns: Columns that hold turns.
        where: The file.
    """
    text = f"{where} has several columns of conversations: {', '.join(turns)}. Which one is to be learnt?"
    ways = [Choice(_format(_as_turns(rows, column)), f"Train '{column}' alone.") for column in turns]
    return QuestionError(Question("which_turns", text, tuple(ways[:MOST_CHOICES])))


def _as_turns(rows: Rows, column: str) -> tuple[str, dict[str, str]]:
    first = next(turns[0] for row in rows if (turns := turns_in(row.get(column))))
    return ("messages", {"messages": column}) if "role" in first else ("sharegpt", {"conversations": column})


def _format(shape: tuple[str, dict[str, str]]) -> dict[str, Any]:
    name, columns = shape
    return {"data.format": name, "data.columns": columns}


def ask_about_messages(rows: Rows, columns: Sequence[str], where: str) -> QuestionError | None:
    """The question how rows with one message each become conversations; None where they hold none.

    Args:
        rows: The first rows.
        columns: Every column of them.
        where: The file.
    """
    role = next((column for column in columns if _says_who(rows, column)), None)
    said = next((column for name in _SAID for column in columns if column.lower() == name), None)
    if role is None or said is None or not any(isinstance(row.get(said), str) for row in rows):
        return None
    words = list(dict.fromkeys(word for row in rows if isinstance(word := row.get(role), str)))
    text = (
        f"{where} has one message a row: '{role}' says who speaks ({', '.join(words[:4])}), '{said}' what is said. "
        "How do rows become conversations?"
    )
    speakers = _speakers(words)
    ways = [
        Choice(
            _format(("messages", {"group": group, "role": role, "content": said, **speakers})),
            f"Rows with the same '{group}' are one conversation, in the file's order; its answers are trained.",
        )
        for group in _groups(rows, columns, {role, said})
    ]
    alone = Choice(_format(("text", {"text": said})), f"Train '{said}' of each row as text of its own, whoever speaks.")
    return QuestionError(Question("one_message_a_row", text, (*ways, alone)))


def _says_who(rows: Rows, column: str) -> bool:
    if column.lower() not in _SPEAKER:
        return False
    held = [value for row in rows if (value := row.get(column)) is not None]
    short = all(isinstance(value, str) and len(value) <= _LONGEST_WORD for value in held)
    return bool(held) and short and len(set(held)) <= MOST_WORDS


def _speakers(words: Sequence[str]) -> dict[str, str]:
    """A first guess of user and assistant among a file's role names; empty where the assistant is known."""
    if any(role_of(word) == "assistant" for word in words) or len(words) < 2:
        return {}
    return {"user": words[0], "assistant": words[1]}


def _groups(rows: Rows, columns: Sequence[str], taken: Iterable[str]) -> list[str]:
    """Columns that may hold the conversation's id: by name, else those whose values repeat from row to row."""
    free = [column for column in columns if column not in set(taken)]
    named = [c for c in free if set(words_of(c)) & _TALKS or plain_name(c) in _TALKS]
    held = named or [column for column in free if _repeats(rows, column)]
    return held[:2]


def _repeats(rows: Rows, column: str) -> bool:
    """Whether neighbours have the same value, and not all rows have it."""
    values = [row.get(column) for row in rows]
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
        return False
    same = sum(before == after for before, after in pairwise(values))
    return len(set(values)) > 1 and 2 * same >= len(values) - 1


def ask_about_speakers(turns: RoleNames, where: str, name: str, column: str) -> QuestionError | None:
    """The question who is the assistant; None where a known word names it, or where only one ever speaks.

    Args:
        turns: How turns are written in the first rows.
        where: The file.
        name: The shape.
        column: The role of the column of turns.
    """
    role, content = turns.usual()
    words = [word for word in dict(turns.words).get(role, ()) if role_of(word) not in {"system", "tool"}]
    if any(role_of(word) in {"assistant", "function_call"} for word in words):
        return None if role in {"role", "from"} else _ask_about_keys(turns, where, name, column)
    if len(words) < 2:
        return None
    named = ", ".join(f"'{word}'" for word in words[:6])
    text = f"In {where} the speakers of '{turns.column}' are {named}: which of them is the assistant?"
    used = {column: turns.column, "role": role, "content": content}
    # Who speaks second answers; it is offered first.
    ways = [
        Choice(
            _format((name, {**used, "user": ", ".join(other for other in words if other != word), "assistant": word})),
            f"'{word}' is the assistant: what it says is trained.",
        )
        for word in [*words[1:], words[0]]
    ]
    return QuestionError(Question("speakers", text, tuple(ways[:MOST_CHOICES])))


def _ask_about_keys(turns: RoleNames, where: str, name: str, column: str) -> QuestionError:
    """The question whether turns with unusual keys are read as guessed."""
    role, content = turns.usual()
    text = f"In {where} the turns of '{turns.column}' have the keys {', '.join(turns.keys[:6])}. What do they hold?"
    used = {column: turns.column, "role": role, "content": content}
    way = Choice(_format((name, used)), f"'{role}' says who speaks, '{content}' what is said.")
    return QuestionError(Question("turn_keys", text, (way,)))


def ask_about_columns(rows: Rows, columns: Sequence[str], where: str) -> QuestionError | None:
    """The question which column asks and which answers; None where there are no two columns of text.

    Args:
        rows: The first rows.
        columns: Every column of them.
        where: The file.
    """
    pairs = likely_pairs(rows, columns)
    if not pairs:
        return None
    text = (
        f"{where}: the rows have no known shape. Columns: {', '.join(columns[:12])}. Which column asks, and which one "
        "answers?"
    )
    return QuestionError(Question("columns", text, tuple(_column_ways(rows, columns, pairs))))


def _column_ways(rows: Rows, columns: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Iterator[Choice]:
    for ask, answer in pairs[: MOST_CHOICES - 2]:
        yield Choice(
            _format(("alpaca", {"instruction": ask, "output": answer})), f"'{ask}' asks, '{answer}' is trained."
        )
    for column in text_columns(rows, columns)[:2]:
        yield Choice(_format(("text", {"text": column})), f"Train '{column}' whole, as text without a question.")
