"""Reasoning in answers: between tags in the text, or under a key of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from recommender.data.formats.examples import Message

Reasoning = Literal["auto", "keep", "drop", "split"]
KEYS = ("reasoning_content", "thinking", "reasoning")
"""Keys that templates read an answer's reasoning from, the usual one first."""
TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
)
"""Tags that models write around their reasoning."""


class Inline(NamedTuple):
    """An answer that begins with its reasoning."""

    reasoning: str
    answer: str


def split_inline(content: str) -> Inline | None:
    """Separate the reasoning that stands between tags before an answer; None where there is none.

    The opening tag may be missing, as in what DeepSeek-R1 generates: its prompt has written it. Then the closing one
    must stand on a line of its own, so that an answer that speaks of the tag is not cut.
    """
    if "<" not in content and "[" not in content:
        return None
    for opening, closing in TAGS:
        before, found, answer = content.partition(closing)
        if not found:
            continue
        if before.lstrip().startswith(opening):
            return Inline(before.lstrip().removeprefix(opening).strip("\n"), answer.lstrip("\n"))
        if opening not in before and before.endswith("\n") and (not answer or answer.startswith("\n")):
            return Inline(before.strip("\n"), answer.lstrip("\n"))
    return None


def reasoning_of(turn: Message) -> str:
    """An answer's reasoning, from its key or its text; empty where there is none."""
    for key in KEYS:
        if isinstance(held := turn.extra.get(key), str):
            return held
    found = split_inline(turn.content)
    return found.reasoning if found else ""


def answer_of(turn: Message) -> str:
    """An answer's text without reasoning that stands in it."""
    found = split_inline(turn.content)
    return found.answer if found else turn.content


def arranged(messages: Sequence[Message], mode: Reasoning) -> list[Message]:
    """The turns with their reasoning placed as `data.reasoning` says.

    Args:
        messages: Turns.
        mode: 'drop' takes it out, 'split' moves it from the text under the usual key; others leave it where it is.
    """
    match mode:
        case "drop":
            return [_without(turn) if turn.role == "assistant" else turn for turn in messages]
        case "split":
            return [_split(turn) if turn.role == "assistant" else turn for turn in messages]
        case _:
            return list(messages)


def _without(turn: Message) -> Message:
    if not reasoning_of(turn):
        return turn
    extra = {key: value for key, value in turn.extra.items() if key not in KEYS}
    return replace(turn, content=answer_of(turn), extra=extra)


def _split(turn: Message) -> Message:
    found = split_inline(turn.content)
    if found is None or any(turn.extra.get(key) for key in KEYS):
        return turn
    return replace(turn, content=found.answer, extra={**turn.extra, KEYS[0]: found.reasoning})
