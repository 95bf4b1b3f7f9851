"""One filter over everything that is painted, cell by cell: no widget needs a second way to draw."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from tui.terminal.ascii import drawn_in


class DrawnIn(LineFilter):
    """Replaces what the terminal cannot show.

    Args:
        encoding: Whose signs it has.
        enabled: Whether anything is to be replaced.
    """

    def __init__(self, encoding: str, *, enabled: bool) -> None:
        super().__init__(enabled=enabled)
        self._encoding = encoding

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Return the segments with their text in that encoding."""
        return [Segment(drawn_in(text, self._encoding), style, control) for text, style, control in segments]
