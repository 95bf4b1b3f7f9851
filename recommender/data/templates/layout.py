"""The text that a template writes around the turns, found once for all conversations with the same roles.

Finding an answer by rendering parts of the conversation again costs as much as the first rendering. Most templates
only write turns one behind the other; then a row's text is the same pieces of the template with that row's turns
between them, and the places of its answers follow. That this is so is checked on each row, sign by sign, and on the
first rows the answers are found both ways; a row that is built otherwise is looked at as if there were no layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from recommender.data.formats.examples import Message

CHECKED = 8
"""Rows with the same roles of which the answers are found both ways before the quick one is believed."""
MOST = 256
"""Orders of roles that are remembered."""

Span = tuple[int, int]


class Found(NamedTuple):
    """A conversation as text, with all its answers."""

    text: str
    spans: Sequence[Span]
    ended: Sequence[bool]
    """For each answer, whether the end-of-turn token is in its span."""
    asked: Sequence[bool]
    """For each answer, whether it begins where generation will."""
    empty: Sequence[bool]
    """For each answer, whether an empty reasoning block of the template's is trained with it."""
    method: str


Find = Callable[[Sequence[Message]], Found | None]
"""Finds them by rendering; None when the template refuses or the answers cannot be found."""


@dataclass(slots=True)
class TemplateLayout:
    """The pieces of text around the turns of one order of roles."""

    pieces: tuple[str, ...]
    """One before each turn and one behind the last."""
    trimmed: tuple[bool, ...]
    """For each turn, whether the template takes blanks off its ends."""
    reach: dict[int, Span]
    """For each answer, how far before its content the trained text begins, and how far behind it that ends."""
    ended: dict[int, bool]
    """For each answer, whether the end-of-turn token is in its span."""
    asked: dict[int, bool]
    """For each answer, whether it begins where generation will."""
    empty: dict[int, bool]
    """For each answer, whether an empty reasoning block of the template's is trained with it."""
    method: str
    all_ended: bool = field(init=False)
    all_asked: bool = field(init=False)
    checked: int = 0
    refuted: bool = False

    def __post_init__(self) -> None:
        self.all_ended = all(self.ended.values())
        self.all_asked = all(self.asked.values())

    @property
    def proven(self) -> bool:
        """Whether its spans agreed on enough rows."""
        return self.checked >= CHECKED

    def compare(self, quick: Sequence[Span], exact: Sequence[Span]) -> None:
        """Count a row of which the answers were found both ways, and note a difference."""
        self.checked += 1
        self.refuted |= tuple(quick) != tuple(exact)

    def spans(self, text: str, messages: Sequence[Message], wanted: Sequence[int]) -> tuple[Span, ...] | None:
        """The spans of the wanted answers in a rendered conversation; None when it is not built like this."""
        said = [
            turn.content.strip() if trim else turn.content for turn, trim in zip(messages, self.trimmed, strict=True)
        ]
        starts: list[int] = []
        parts: list[str] = []
        position = 0
        for piece, content in zip(self.pieces, said, strict=False):
            parts += (piece, content)
            starts.append(position + len(piece))
            position += len(piece) + len(content)
        if "".join((*parts, self.pieces[-1])) != text:
            return None
        return tuple(
            (starts[index] - self.reach[index][0], starts[index] + len(said[index]) + self.reach[index][1])
            for index in wanted
        )


class TemplateLayouts:
    """The layouts of one template, by order of roles.

    Args:
        find: Finds the answers of a conversation by rendering it.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._known: dict[tuple[str, ...], TemplateLayout | None] = {}

    def of(self, messages: Sequence[Message]) -> TemplateLayout | None:
        """The layout of conversations with these roles; None when there is none to rely on."""
        roles = tuple(turn.role for turn in messages)
        if roles not in self._known and len(self._known) < MOST:
            self._known[roles] = self._learn(roles)
        layout = self._known.get(roles)
        return None if layout is None or layout.refuted else layout

    def _learn(self, roles: tuple[str, ...]) -> TemplateLayout | None:
        """Find the layout by rendering words that no template writes by itself."""
        words = [f"Zq{index}probe" for index in range(len(roles))]
        bare = self._find([Message(role, word) for role, word in zip(roles, words, strict=True)])
        wide = self._find([Message(role, f"  {word}  ") for role, word in zip(roles, words, strict=True)])
        if bare is None or wide is None:
            return None
        pieces = _around(bare.text, words)
        trimmed = _trimmed(pieces, _around(wide.text, words))
        if trimmed is None:
            return None
        answers = [index for index, role in enumerate(roles) if role == "assistant"]
        reach = {}
        for index, (start, end) in zip(answers, bare.spans, strict=True):
            place = bare.text.index(words[index])
            reach[index] = (place - start, end - place - len(words[index]))
        each = (bare.ended, bare.asked, bare.empty)
        ended, asked, empty = (dict(zip(answers, held, strict=True)) for held in each)
        return TemplateLayout(pieces, trimmed, reach, ended, asked, empty, bare.method)


def _around(text: str, words: Sequence[str]) -> tuple[str, ...]:
    """The text before, between and behind words that stand once each, in order; empty when they do not."""
    pieces = []
    for word in words:
        if text.count(word) != 1:
            return ()
        before, _, text = text.partition(word)
        pieces.append(before)
    return (*pieces, text)


def _trimmed(pieces: Sequence[str], wide: Sequence[str]) -> tuple[bool, ...] | None:
    """The turns that lost the two blanks put on either side; None when something else came of them."""
    if len(pieces) != len(wide) or not pieces:
        return None
    found = []
    before = ""
    for piece, widened in zip(pieces[:-1], wide, strict=False):
        kept = widened == f"{before}{piece}  "
        if not kept and widened != before + piece:
            return None
        found.append(not kept)
        before = "  " if kept else ""
    return tuple(found) if wide[-1] == before + pieces[-1] else None
