"""Covers a screen in a terminal that is too small for it, and goes away when the terminal grows."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

MINIMUM = (80, 20)
"""Columns and rows below which nothing sensible can be drawn; 80×24 is what the screens are made for."""


def is_too_small(columns: int, rows: int) -> bool:
    """Whether a terminal of this size gets the notice."""
    return columns < MINIMUM[0] or rows < MINIMUM[1]


class TooSmall(Widget):
    """Says how large the terminal is and must be, on a screen with the class `-tiny`; what lies under it stays."""

    DEFAULT_CSS = """
    TooSmall {
        layer: cover;
        dock: top;
        width: 100%;
        height: 100%;
        background: $background;
        content-align: center middle;
        text-align: center;
        display: none;
    }
    """

    def render(self) -> Content:
        """Three short lines."""
        columns, rows = self.app.size
        return Content.assemble(
            ("too small", "bold $warning"),
            "\n",
            (f"this terminal has {columns}×{rows}: lora-wizard needs 80×24", "$foreground"),
            "\n",
            ("make it larger and it goes on where it was · q quits", "$quiet"),
        )
