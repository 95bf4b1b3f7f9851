"""The private names of textual-plot and textual-hires-canvas that curves lean on, all of them.

A test (test_upstream.py) holds them. textual-plot 0.10 has public ways to set limits and formatters, but none to read
the limits after zooming, to draw within limits while they still follow the data, or to repaint only what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from textual.geometry import Region
from textual_hires_canvas import Canvas
from textual_plot import PlotWidget

Cells = tuple[list[list[str]], list[list[str]]]
"""Characters and styles by row and column."""


class Follows(NamedTuple):
    """Limits that follow the data; the others were set by zooming or panning."""

    x_min: bool = True
    x_max: bool = True
    y_min: bool = True
    y_max: bool = True


class Plot(PlotWidget, inherit_bindings=False):  # type: ignore[misc, call-arg]
    """A plot that a subclass draws: `redraw` after zooming and panning, `draw` after a new layout."""

    def redraw(self) -> None:
        """Draw after zooming or panning, and repaint what changed."""
        raise NotImplementedError

    def draw(self) -> None:
        """Draw after a new layout, when everything is repainted anyway."""
        raise NotImplementedError

    @property
    def x_limits(self) -> tuple[float, float]:
        """Least and greatest x that are seen."""
        return self._x_min, self._x_max

    @x_limits.setter
    def x_limits(self, limits: tuple[float, float]) -> None:
        self._x_min, self._x_max = limits

    @property
    def y_limits(self) -> tuple[float, float]:
        """Least and greatest y that are seen."""
        return self._y_min, self._y_max

    @y_limits.setter
    def y_limits(self, limits: tuple[float, float]) -> None:
        self._y_min, self._y_max = limits

    @property
    def follows(self) -> Follows:
        """Limits that follow the data."""
        return Follows(self._auto_x_min, self._auto_x_max, self._auto_y_min, self._auto_y_max)

    @follows.setter
    def follows(self, follows: Follows) -> None:
        self._auto_x_min, self._auto_x_max, self._auto_y_min, self._auto_y_max = follows

    @property
    def inside(self) -> Region:
        """Cells of the canvas within the axes."""
        inside = self._scale_rectangle
        assert isinstance(inside, Region)
        return inside

    def draw_within_limits(self) -> None:
        """Draw the datasets within the present limits: textual-plot would fit those that follow tightly."""
        kept = self.follows
        self.follows = Follows(False, False, False, False)
        try:
            super()._render_plot()
        finally:
            self.follows = kept

    def plot_canvas(self) -> Canvas | None:
        """Return the canvas of the data; None before it is composed and laid out, and after it is removed."""
        canvas = next(iter(self.query("#plot").results(Canvas)), None)
        return None if canvas is None or canvas._canvas_size is None else canvas

    def _rerender(self) -> None:
        self.redraw()

    def _render_plot(self) -> None:
        self.draw()

    def _render_x_label(self) -> None:
        """The pane's title names the axis."""

    def _render_y_label(self) -> None:
        """The pane's title names the axis."""


def cells_of(canvas: Canvas) -> Cells:
    """Return a canvas's characters and styles; it starts new lists at each reset, so these are never drawn on again."""
    return canvas._buffer, canvas._styles


@contextmanager
def held(canvases: Sequence[Canvas]) -> Iterator[None]:
    """Keep canvases from asking for a repaint of all their cells while they are drawn on."""
    for canvas in canvases:
        canvas._refreshes_pending += 1
    try:
        yield
    finally:
        for canvas in canvases:
            canvas._refreshes_pending -= 1
