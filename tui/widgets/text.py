"""Lines of toned text: cut to a width with an ellipsis, laid out in columns, turned into what Textual draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from tui.widgets.rows import Part, Row, Tone

STYLES: dict[Tone, str] = {
    "plain": "$foreground",
    "bright": "bold $foreground",
    "label": "$label",
    "quiet": "$quiet",
    "accent": "$primary",
    "good": "$success",
    "caution": "$warning",
    "bad": "bold $error",
    "extra": "$extra",
}
"""Tone to Textual style; the same colours that `Rows` gives them."""

Align = Literal["left", "right"]


def cut(text: str, width: int) -> str:
    """Cut a text to a width in cells, with an ellipsis where something is missing."""
    if cell_len(text) <= width:
        return text
    return "" if width <= 0 else set_cell_size(text, width - 1).rstrip() + "…"


def cell(text: str, width: int, align: Align = "left") -> str:
    """Cut or pad a text to exactly a width in cells."""
    text = cut(text, width)
    blank = " " * (width - cell_len(text))
    return blank + text if align == "right" else text + blank


def _without_end(parts: Sequence[Part], width: int) -> tuple[Part, ...]:
    """Leave out what stands behind a width in cells."""
    kept: list[Part] = []
    room = width
    for text, tone in parts:
        kept.append((set_cell_size(text, min(room, cell_len(text))), tone))
        room -= cell_len(kept[-1][0])
    return tuple(part for part in kept if part[0])


def cut_parts(parts: Sequence[Part], width: int) -> tuple[Part, ...]:
    """Cut a line of parts to a width in cells; the part at the edge gets the ellipsis."""
    total = sum(cell_len(text) for text, _ in parts)
    if total <= width:
        return tuple(parts)
    if cell_len("".join(text for text, _ in parts).rstrip(" ")) <= width:
        # Blanks alone are cut, such as an empty column's.
        return _without_end(parts, width)
    kept: list[Part] = []
    room = width
    for text, tone in parts:
        size = cell_len(text)
        if size >= room:
            # The line goes on behind this part, so even one that fits exactly ends in an ellipsis.
            kept.append((cut(text if size > room else text + " ", room), tone))
            break
        kept.append((text, tone))
        room -= size
    return tuple(kept)


def content(row: Row, width: int | None = None) -> Content:
    """A row as Textual draws it, cut to a width when one is given."""
    parts = row.parts if width is None else cut_parts(row.parts, width)
    return Content.assemble(*((text, STYLES[tone]) for text, tone in parts))


def paragraph(rows: Sequence[Row]) -> Content:
    """Several rows, a line each."""
    return Content("\n").join([content(row) for row in rows])
