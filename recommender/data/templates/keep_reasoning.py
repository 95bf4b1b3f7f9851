"""Train reasoning as the rows have it where a template would leave it out (`data.reasoning: keep`).

The conversation is rendered with a word in the place of each answer that loses its reasoning; then the answer is put
there, reasoning in front, as the template writes it where it does, else between <think> tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recommender.data.formats.examples import Message, RowProblem
from recommender.data.templates.habits import EMPTY, Habits
from recommender.data.templates.lost_answers import lost_of
from recommender.data.templates.reasoning import KEYS, answer_of, reasoning_of, split_inline
from recommender.data.tokens.locate import Located, Locator


def kept(locator: Locator, found: Located, messages: Sequence[Message], wanted: Sequence[int]) -> Located:
    """The answers with their reasoning.

    Args:
        locator: Of the conversation.
        found: Its answers as the template writes them.
        messages: Its turns.
        wanted: The answers that are trained.

    Raises:
        RowProblem: One of them cannot be written whole.
    """
    losing = [index for index, lost in zip(wanted, found.losses, strict=True) if lost.reasoning]
    words = {index: f"Zq{index}kept" for index in losing if not messages[index].extra.get("tool_calls")}
    bare = [_bare(turn, words[index]) if index in words else turn for index, turn in enumerate(messages)]
    located = locator.locate(bare, wanted)
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    position = shift = 0
    for index, (start, end) in zip(wanted, located.spans, strict=True):
        began = start + shift
        if index in losing:
            turn = messages[index]
            stop = _behind(located.text, start, end, words[index]) if index in words else _empty(located.text, start)
            written = _written(locator, turn) if index in words else _before_call(locator, turn)
            parts += (located.text[position:start], written)
            shift += len(written) - (stop - start)
            position = stop
        spans.append((began, end + shift))
    text = "".join((*parts, located.text[position:]))
    spans = [
        (_asked_from(locator.habits, text, start) if index in losing else start, end)
        for index, (start, end) in zip(wanted, spans, strict=True)
    ]
    losses = tuple(lost_of(messages[i], text[start:end]) for i, (start, end) in zip(wanted, spans, strict=True))
    if any(lost.reasoning for lost in losses):
        raise RowProblem("has reasoning that cannot be written into what the chat template makes of it")
    asked = tuple(locator.begins(messages, index, text, start) for index, (start, _) in zip(wanted, spans, strict=True))
    return Located(text, tuple(spans), asked, losses, "difference")


def _asked_from(habits: Habits, text: str, start: int) -> int:
    """The position where generation begins for an answer that starts at `start`: some prompts open the reasoning."""
    opening, header = habits.opening or "", habits.prompt_header
    base = start - len(opening)
    opened = text.startswith(header, base) and text.startswith(opening, base)
    return max(start, base + len(header)) if opened else start


def _empty(text: str, start: int) -> int:
    """The position behind an empty reasoning block, where the template writes one."""
    found = EMPTY.match(text[start:])
    return start + (found.end() if found else 0)


def _before_call(locator: Locator, turn: Message) -> str:
    form = locator.habits.call_form
    return f"{form.before}{reasoning_of(turn).strip()}{form.between}"


def _bare(turn: Message, word: str) -> Message:
    return replace(turn, content=word, extra={key: held for key, held in turn.extra.items() if key not in KEYS})


def _behind(text: str, start: int, end: int, word: str) -> int:
    place = text.find(word, start, end)
    if place < 0 or text.count(word) != 1:
        raise RowProblem("has reasoning, for which the chat template has no place")
    return place + len(word)


def _written(locator: Locator, turn: Message) -> str:
    """An answer with its reasoning in front."""
    form = locator.habits.reasoning_form
    if split_inline(turn.content) and not locator.habits.reasoning_key:
        return turn.content
    return f"{form.before}{reasoning_of(turn).strip()}{form.between}{answer_of(turn)}"
