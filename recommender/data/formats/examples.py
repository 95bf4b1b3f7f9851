"""Normalised rows, whatever their file looked like: a conversation, a prompt with its completion, or text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, default=str)


NOT_FOUND = "that cannot be found exactly in what the chat template makes of it"
"""The end of the reason for a row whose answer the template does not show."""


REFUSED = "is refused by the chat template"
"""The beginning of the reason for a row that the template refuses."""


LEFT_OUT = "the chat template leaves out"
"""The part of a row's reason that is about text the template never writes."""


def of_template(reason: str) -> bool:
    """Whether the chat template is the reason why a row cannot be used, so that another might take it."""
    return any(said in reason for said in (NOT_FOUND, REFUSED, LEFT_OUT))


class RowProblem(Exception):
    """A row that cannot be used; its reason completes 'the row …'."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def marked(value: Any, *, numbers: bool = True) -> bool | None:
    """The value of a good/bad mark; None where it is no mark.

    Args:
        value: What stands in the column: true or false, also 1 or 0 and what a table writes for either.
        numbers: Whether anything but true and false is taken for a mark.
    """
    if isinstance(value, bool):
        return value
    if not numbers:
        return None
    if isinstance(value, str):
        return {"true": True, "false": False, "1": True, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, int) and value in {0, 1} else None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """'system', 'user', 'assistant' or 'tool'; another word is given to the template as it is."""
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Other fields that templates read: tool_calls, tool_call_id, name, reasoning_content."""
    train: bool = True
    """False for an answer that the data says is context only."""
    weighted: bool = False
    """Whether the data gives it a weight that is neither 0 nor 1, which counts as 1."""

    @property
    def empty(self) -> bool:
        """Whether the message has neither text nor calls."""
        return not self.content.strip() and not self.extra.get("tool_calls")

    def for_template(self) -> dict[str, Any]:
        """The mapping that chat templates expect."""
        return {"role": self.role, "content": self.content, **self.extra}


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation; what the assistant says is trained."""

    messages: tuple[Message, ...]
    tools: tuple[Any, ...] = ()
    """JSON schemas of the functions that the assistant may call."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """The row's own `chat_template_kwargs`: values of variables that the template reads."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt and its completion, as they are, without template; the completion is trained."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Text:
    """Text of which every token is trained."""

    text: str


Example = Chat | Pair | Text


def digest(example: Example) -> int:
    """64 bits of BLAKE2b over the content: equal rows have equal digests, wherever they come from.

    In a million rows two different ones share a digest with a chance of 3e-8 (n²/2 of 2^64).

    Raises:
        RowProblem: The text holds a lone surrogate, which is half of a character.
    """
    match example:
        case Text():
            parts: list[Any] = ["text", example.text]
        case Pair():
            parts = ["pair", example.prompt, example.completion]
        case Chat():
            turns = [[turn.role, turn.content, dict(turn.extra), turn.train] for turn in example.messages]
            parts = ["chat", turns, list(example.tools), *([dict(example.variables)] if example.variables else [])]
    try:
        data = _ENCODER.encode(parts).encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowProblem("holds a lone surrogate (\\ud800 to \\udfff): half of a character") from error
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
