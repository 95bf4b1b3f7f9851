"""Two other formats of conversations than a list of turns with a speaker each.

- Texts alone, one speaker after the other, the person first (LIMA, DailyDialog).
- Exchanges, a question and its answer together (Capybara).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

QUESTION_AND_ANSWER: Final = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("instruction", "answer"),
    ("instruction", "completion"),
    ("question", "answer"),
    ("question", "response"),
    ("question", "output"),
    ("query", "response"),
    ("query", "answer"),
    ("prompt", "response"),
    ("prompt", "output"),
    ("prompt", "answer"),
    ("input", "output"),
    ("input", "response"),
    ("inputs", "targets"),
    ("input", "target"),
    ("source", "target"),
    ("user", "assistant"),
    ("human", "assistant"),
    ("problem", "solution"),
    ("problem", "answer"),
    ("question", "solution"),
    ("prompt", "generation"),
    ("context", "response"),
    ("dialogue", "summary"),
    ("document", "summary"),
    ("article", "summary"),
    ("article", "highlights"),
    ("text", "summary"),
)
"""Names of what is asked and what is answered, of a row's columns or an exchange's keys."""
CONVERSATION: Final = ("messages", "conversations", "conversation", "dialog", "dialogue", "turns")
"""Names of columns in which texts alone are taken for turns."""

Form = tuple[str, str] | None
"""The keys of an exchange; two empty ones for texts alone; None for turns that say whose they are."""
TEXTS: Final = ("", "")


def form_of(rows: Sequence[Mapping[str, Any]], column: str) -> Form:
    """The format of a column's conversations, by the first rows.

    Args:
        rows: The first rows.
        column: A column of lists.
    """
    lists = [value for row in rows if isinstance(value := row.get(column), list) and value]
    turns = [turn for value in lists for turn in value]
    if turns and all(isinstance(turn, str) for turn in turns):
        return TEXTS if any(len(value) > 1 for value in lists) else None
    if not turns or not all(isinstance(turn, Mapping) for turn in turns):
        return None
    keys = set.intersection(*(set(turn) for turn in turns))
    if {"role", "from"} & keys:
        return None
    return next((pair for pair in QUESTION_AND_ANSWER if set(pair) <= keys), None)


def spread(turns: Sequence[Any], form: Form) -> list[Any]:
    """Turns with a role each; a value that does not have this format stays as it is.

    Args:
        turns: One conversation.
        form: How it is written.
    """
    if form is None:
        return [*turns]
    if form == TEXTS:
        return [_turn("assistant" if place % 2 else "user", turn) for place, turn in enumerate(turns)]
    asked, answered = form
    found: list[Any] = []
    for turn in turns:
        pair = isinstance(turn, Mapping) and asked in turn and answered in turn
        found += [_turn("user", turn[asked]), _turn("assistant", turn[answered])] if pair else [turn]
    return found


_SPOKEN: Final = re.compile(r"\n\n(Human|Assistant): ?")


def transcript(text: str) -> list[tuple[str, str]]:
    """The (role, text) turns of a conversation written out as text (HH-RLHF); empty where it is none.

    Args:
        text: Turns that begin with Human: and Assistant:, each behind an empty line.
    """
    if not text.startswith("\n\nHuman:"):
        return []
    parts = _SPOKEN.split(text)[1:]
    roles = {"Human": "user", "Assistant": "assistant"}
    return [(roles[who], said.strip()) for who, said in zip(parts[::2], parts[1::2], strict=True)]


def _turn(role: str, content: Any) -> Any:
    return {"role": role, "content": content} if isinstance(content, str) else content
