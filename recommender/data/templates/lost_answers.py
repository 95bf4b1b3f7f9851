"""Count of the characters of an answer that are missing from its trained text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from recommender.data.formats.examples import Message
from recommender.data.templates.reasoning import answer_of, reasoning_of, split_inline


class Lost(NamedTuple):
    """Numbers of characters of answers."""

    given: int = 0
    """Of the answers as they stand in the row: reasoning, text and function calls."""
    reasoning: int = 0
    """Of their reasoning, not trained."""
    text: int = 0
    """Of their text and calls, not trained."""

    def __add__(self, other: object) -> Lost:
        """The sum."""
        if not isinstance(other, Lost):
            return NotImplemented
        return Lost(self.given + other.given, self.reasoning + other.reasoning, self.text + other.text)


NOTHING = Lost()


def lost_of(turn: Message, trained: str) -> Lost:
    """Count the characters of an answer that are missing from its trained text.

    Reasoning stands before the answer: it is looked for there only, or an answer that repeats it would hide its loss.

    Args:
        turn: As the row gives it.
        trained: The characters that are trained.
    """
    reasoning, answer, calls = reasoning_of(turn).strip(), answer_of(turn).strip(), list(called(turn))
    beside = 0 if split_inline(turn.content) else len(reasoning)
    given = len(turn.content) + beside + sum(map(len, calls))
    place = trained.rfind(answer) if answer else len(trained)
    if place < 0 and turn.content.strip() in trained:
        place = len(trained)  # tags that are text here: nothing of the content is missing
        answer = ""
    before = trained if place < 0 else trained[:place]
    text = _missing(answer, trained) if place < 0 else 0
    return Lost(given, _missing(reasoning, before), text + sum(_missing(call, trained) for call in calls))


def _missing(piece: str, held: str) -> int:
    """Characters of the lines of a piece that are not in the text."""
    if not piece or piece in held:
        return 0
    lines = (line.strip() for line in piece.splitlines())
    return sum(len(line) for line in lines if line and not any(form in held for form in _forms(line)))


def _forms(text: str) -> Iterator[str]:
    """A piece of text as templates write it: as it is, or as JSON or Python would between quotes."""
    yield text
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield json.dumps(text)[1:-1]
    yield repr(text)[1:-1]


def called(turn: Message) -> Iterator[str]:
    """Names and arguments of an answer's function calls, each as text."""
    for call in turn.extra.get("tool_calls") or ():
        function = call.get("function", call)
        yield str(function.get("name", ""))
        yield from _leaves(function.get("arguments"))


def _leaves(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value.strip()
        case Mapping():
            for key, held in value.items():
                yield str(key)
                yield from _leaves(held)
        case bool() | None:  # written in many ways, and never the part that is left out
            return
        case int() | float():
            yield json.dumps(value)
        case Sequence():
            for held in value:
                yield from _leaves(held)
