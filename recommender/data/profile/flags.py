"""Flags of rows, and how often each was raised while a data set was read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntFlag
from functools import lru_cache
from itertools import pairwise

from recommender.data.formats.examples import Chat, Example, Pair, Text
from recommender.data.tokens.tokenise import Measured

FEW_ROWS = 20
"""Below this a warning: LIMA (Zhou et al. 2023) used 1 000 rows; tens of rows are memorised rather than learned."""


class RowFlag(IntFlag):
    """Peculiarities of one row, as bits."""

    DUPLICATE = 1
    EMPTY = 2
    UNENDED = 4
    DOUBLED_START = 8
    STRADDLES = 16
    DISORDERED = 32
    IMITATES = 64
    CONTROL = 128
    REPLACEMENT = 256
    LITERAL = 512
    STRANGER = 1024
    PLACEHOLDER = 2048
    REASONING_LOST = 4096
    TEXT_LOST = 8192
    UNASKED = 16384
    INLINE = 32768
    TWO_ANSWERS = 65536
    WEIGHTED = 131072
    EMPTY_REASONING = 262144


FLAG_TEXTS = {
    RowFlag.DUPLICATE: "an exact copy of an earlier row",
    RowFlag.EMPTY: "nothing of it is trained",
    RowFlag.UNENDED: "an answer is trained without an end-of-turn token",
    RowFlag.DOUBLED_START: "the BOS token stands twice",
    RowFlag.STRADDLES: "the first trained token also holds the end of the prompt",
    RowFlag.DISORDERED: "turns are out of order",
    RowFlag.IMITATES: "it contains the text of a special token",
    RowFlag.CONTROL: "it holds control characters",
    RowFlag.REPLACEMENT: "it holds replacement characters",
    RowFlag.STRANGER: "a turn has an unknown role",
    RowFlag.PLACEHOLDER: "it contains a placeholder such as {{name}}",
    RowFlag.REASONING_LOST: "the chat template leaves out reasoning of its answers",
    RowFlag.TEXT_LOST: "the chat template leaves out text of its answers",
    RowFlag.UNASKED: "an answer begins differently from the generation prompt",
    RowFlag.INLINE: "reasoning is trained as text, though the chat template has a place for it",
    RowFlag.TWO_ANSWERS: "two answers stand in a row",
    RowFlag.WEIGHTED: "a turn has a weight other than 0 and 1, which counts as 1",
    RowFlag.EMPTY_REASONING: "an empty reasoning block, which the chat template writes, is trained",
    RowFlag.LITERAL: "a cell or turn is nothing but 'nan', 'None' or 'null'",
}
"""Sentences for the screen."""
_NOTHING = RowFlag(0)
NAMED = 3
"""Unknown speakers that are named."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PLACEHOLDER = re.compile(r"\{\{\s*[^\W\d]\w*\s*\}\}")
_LITERAL = frozenset({"nan", "none", "null", "<na>"})
"""Texts that programs write for an empty cell."""


def flag_texts(flags: int) -> tuple[str, ...]:
    """The flags of a row as sentences for a person."""
    return tuple(said for finding, said in FLAG_TEXTS.items() if flags & finding)


def _texts(example: Example) -> tuple[str, ...]:
    match example:
        case Text():
            return (example.text,)
        case Pair():
            return example.prompt, example.completion
        case Chat():
            return tuple(turn.content for turn in example.messages)


def _oddities(example: Example) -> RowFlag:
    """Flags of the text itself, in whatever language."""
    found = _NOTHING
    for text in _texts(example):
        if "\ufffd" in text:
            found |= RowFlag.REPLACEMENT
        if _CONTROL.search(text):
            found |= RowFlag.CONTROL
        if "{{" in text and _PLACEHOLDER.search(text):
            found |= RowFlag.PLACEHOLDER
        if len(text) < 12 and text.strip().lower() in _LITERAL:
            found |= RowFlag.LITERAL
    return found


@dataclass
class FlagCounts:
    """Numbers of rows, answers and flags over all rows."""

    rows: int = 0
    bad: int = 0
    chats: int = 0
    texts: int = 0
    answers: int = 0
    ended: int = 0
    answered_rows: int = 0
    """Rows in which an answer is trained."""
    ended_rows: int = 0
    """Of these, rows in which an answer is trained with its end."""
    empty: int = 0
    duplicates: int = 0
    doubled_start: int = 0
    straddles: int = 0
    disordered: int = 0
    strangers: int = 0
    imitates: int = 0
    control: int = 0
    replacement: int = 0
    literal: int = 0
    placeholders: int = 0
    reasoning_lost: int = 0
    text_lost: int = 0
    unasked: int = 0
    inline: int = 0
    empty_reasoning: int = 0
    empty_where_asked: int = 0
    """Of these, rows of which every answer begins where generation will."""
    reasoned: int = 0
    """Rows in which reasoning is trained."""
    given_characters: int = 0
    """Of all trained answers as they stand in the rows."""
    lost_reasoning: int = 0
    """Characters of reasoning that are not trained."""
    lost_text: int = 0
    """Characters of answers besides that are not trained."""
    two_answers: int = 0
    weighted: int = 0
    blank: int = 0
    """Rows without anything in them, which are passed over."""
    highest_id: int = 0
    nothing_trained: bool = False
    methods: set[str] = field(default_factory=set)
    speakers: list[str] = field(default_factory=list)
    """The first words for speakers that are not known."""

    def see(self, row: Measured, example: Example, *, duplicate: bool) -> RowFlag:
        """Count a usable row and return its flags."""
        self.rows += 1
        self.answers += row.answers
        self.ended += row.ended
        self.answered_rows += row.answers > 0
        self.ended_rows += row.ended > 0
        self.given_characters += row.lost.given
        self.lost_reasoning += row.lost.reasoning
        self.lost_text += row.lost.text
        self.chats += isinstance(example, Chat)
        self.texts += isinstance(example, Text)
        self.highest_id = max(self.highest_id, row.highest_id)
        if row.method and row.spans:
            self.methods.add(row.method)
        flags = _oddities(example)
        if isinstance(example, Chat) and (order := order_of(tuple([turn.role for turn in example.messages]))):
            flags |= order
            if order & RowFlag.STRANGER:
                self._meet(example)
        if isinstance(example, Chat) and any(turn.weighted for turn in example.messages):
            flags |= RowFlag.WEIGHTED
        if duplicate or not row.spans or row.ended < row.answers or row.doubled_start:
            flags |= RowFlag.DUPLICATE if duplicate else 0
            flags |= RowFlag.EMPTY if not row.spans else 0
            flags |= RowFlag.UNENDED if row.ended < row.answers else 0
            flags |= RowFlag.DOUBLED_START if row.doubled_start else 0
        if row.straddles or row.imitates:
            flags |= RowFlag.STRADDLES if row.straddles else 0
            flags |= RowFlag.IMITATES if row.imitates else 0
        self.reasoned += row.reasoned
        if row.lost.reasoning or row.lost.text or row.unasked or row.inline or row.empty_reasoning:
            flags |= RowFlag.EMPTY_REASONING if row.empty_reasoning else 0
            flags |= RowFlag.REASONING_LOST if row.lost.reasoning else 0
            flags |= RowFlag.TEXT_LOST if row.lost.text else 0
            flags |= RowFlag.UNASKED if row.unasked else 0
            flags |= RowFlag.INLINE if row.inline else 0
        if flags:
            self._count(flags)
        return flags

    def _meet(self, chat: Chat) -> None:
        """Keep the first unknown role names."""
        fresh = [turn.role for turn in chat.messages if turn.role not in _KNOWN and turn.role not in self.speakers]
        self.speakers += fresh[: NAMED - len(self.speakers)]

    def _count(self, flags: RowFlag) -> None:
        self.duplicates += bool(flags & RowFlag.DUPLICATE)
        self.empty += bool(flags & RowFlag.EMPTY)
        self.doubled_start += bool(flags & RowFlag.DOUBLED_START)
        self.straddles += bool(flags & RowFlag.STRADDLES)
        self.disordered += bool(flags & RowFlag.DISORDERED)
        self.strangers += bool(flags & RowFlag.STRANGER)
        self.imitates += bool(flags & RowFlag.IMITATES)
        self.control += bool(flags & RowFlag.CONTROL)
        self.replacement += bool(flags & RowFlag.REPLACEMENT)
        self.literal += bool(flags & RowFlag.LITERAL)
        self.placeholders += bool(flags & RowFlag.PLACEHOLDER)
        self.reasoning_lost += bool(flags & RowFlag.REASONING_LOST)
        self.text_lost += bool(flags & RowFlag.TEXT_LOST)
        self.unasked += bool(flags & RowFlag.UNASKED)
        self.inline += bool(flags & RowFlag.INLINE)
        self.empty_reasoning += bool(flags & RowFlag.EMPTY_REASONING)
        self.empty_where_asked += flags & (RowFlag.EMPTY_REASONING | RowFlag.UNASKED) == RowFlag.EMPTY_REASONING
        self.two_answers += bool(flags & RowFlag.TWO_ANSWERS)
        self.weighted += bool(flags & RowFlag.WEIGHTED)

    @property
    def trains_end_of_turn(self) -> bool | None:
        """Whether answers are trained with their end; None where there are none."""
        if self.texts == self.rows or not self.answers:
            return None
        return self.ended > 0


_KNOWN = frozenset({"system", "user", "assistant", "tool"})


@lru_cache(maxsize=4096)
def order_of(roles: tuple[str, ...]) -> RowFlag:
    """Flags of the order of roles, judged once for each order: conversations have few.

    In order are system?, user, assistant, user, assistant … with tools between.
    """
    found = _NOTHING if set(roles) <= _KNOWN else RowFlag.STRANGER
    spoken = [role for role in roles if role != "system"]
    if any(pair == ("assistant", "assistant") for pair in pairwise(spoken)):
        found |= RowFlag.TWO_ANSWERS
    if "system" in roles[1:] or not spoken or spoken[0] != "user" or spoken[-1] != "assistant":
        return found | RowFlag.DISORDERED
    same = any(before == after == "user" for before, after in pairwise(spoken))
    return found | RowFlag.DISORDERED if same else found
