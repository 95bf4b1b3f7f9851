"""One drawing of a curve: limits around the data, tracks thinned to the visible columns, ticks, axes, cursor.

Imports textual-plot, like the curve itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from textual_hires_canvas import Canvas
from textual_plot import HiResMode
from textual_plot.axis_formatter import AxisFormatter

from tui.widgets.curves.plot import Plot, cells_of
from tui.widgets.curves.series import Series, Window
from tui.widgets.curves.ticks import Tick, linear_ticks, log_ticks

Look = Literal["raw", "line", "dots", "star"]

MARKERS: Mapping[Look, tuple[str, str]] = {"dots": ("●", "o"), "star": ("★", "@")}
"""Characters for single points, in Unicode and in ASCII."""

# textual-plot draws a heavy box around the data; two thin axes say the same with less ink.
_THIN = str.maketrans("┃━┏┓┗┛┡┩┢┪┣┫┳┻┠┨┯┷╋╂┿╇╈", "│─┌┐└┘┌┐┌┐├┤┬┴├┤┬┴┼┼┼┼┼")
_ASCII = str.maketrans("│─┌┐└┘├┤┬┴┼╭╮╰╯•●", "|-+++++++++++++oo")


@dataclass(frozen=True, slots=True)
class Track:
    """One series of a curve and how it is drawn."""

    series: Series
    look: Look
    style_class: str
    """Component class that gives its colour, such as 'curve--raw'."""
    name: str = ""
    """Name beside a value, and by which it is hidden."""


class Ticks(AxisFormatter):  # type: ignore[misc]
    """Hands textual-plot the ticks that the curve has chosen, in the plot's own coordinates."""

    def __init__(self) -> None:
        self.ticks: tuple[tuple[float, str], ...] = ()

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:  # noqa: ARG002
        """Return the positions."""
        return [position for position, _ in self.ticks]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:  # noqa: ARG002
        """Return their labels."""
        return [label for _, label in self.ticks]


@dataclass(frozen=True, slots=True)
class Drawing:
    """One drawing of some tracks on a plot.

    Attributes:
        plot: What is drawn on; its limits are set.
        canvas: The plot's, with a size.
        tracks: What is drawn.
        unicode: Whether more than ASCII may be drawn.
        log: Whether y is logarithmic.
        from_zero: Whether y begins at zero, where it is linear.
    """

    plot: Plot
    canvas: Canvas
    tracks: Sequence[Track]
    unicode: bool
    log: bool
    from_zero: bool

    def draw(self, x_ticks: Ticks, y_ticks: Ticks, cursor: float | None) -> None:
        """Draw.

        Args:
            x_ticks: The plot's formatter of x, whose ticks are chosen.
            y_ticks: The plot's formatter of y.
            cursor: The step that is pointed at; None for none.
        """
        self._fit_x()
        windows = [self._window(track) for track in self.tracks]
        self._fit_y(windows)
        self._fill(windows)
        x_ticks.ticks, y_ticks.ticks = self._x_ticks(), self._y_ticks()
        self.plot.draw_within_limits()
        self._thin_axes()
        if cursor is not None:
            self._draw_cursor(cursor)

    def _fit_x(self) -> None:
        last = max((track.series.x[-1] for track in self.tracks if len(track.series)), default=1.0)
        low, high = self.plot.x_limits
        if self.plot.follows.x_min:
            low = 0.0
        if self.plot.follows.x_max:
            # A little air on the right, in rough steps: otherwise each new step would move every column.
            high = rounded_up(max(last, 2.0), 50)
        self.plot.x_limits = low, high

    def _window(self, track: Track) -> Window:
        per_column = 2 if self.unicode else 1
        found = track.series.window(*self.plot.x_limits, self.canvas.size.width * per_column)
        if track.look == "dots" and found.x and len(track.series) > len(found.x):
            # Thinned, a bucket shows its extremes; the last evaluation, the one that counts, may be none of them.
            found = found.with_last(track.series, self.plot.x_limits[1])
        if not self.log:
            return found
        kept = [(x, math.log10(y)) for x, y in zip(found.x, found.y, strict=True) if y > 0]
        return Window(tuple(x for x, _ in kept), tuple(y for _, y in kept))

    def _fit_y(self, windows: Sequence[Window]) -> None:
        values = [y for window in windows for y in window.y]
        if not (self.plot.follows.y_min or self.plot.follows.y_max) or not values:
            return
        lowest = min(values)
        if self.from_zero and not self.log:
            lowest = min(0.0, lowest)
        low, high = limits(lowest, max(values))
        before = self.plot.y_limits
        self.plot.y_limits = (
            low if self.plot.follows.y_min else before[0],
            high if self.plot.follows.y_max else before[1],
        )

    def _fill(self, windows: Sequence[Window]) -> None:
        self.plot.clear()
        for track, window in zip(self.tracks, windows, strict=True):
            if not window.x:
                continue
            style = str(self.plot.get_component_rich_style(track.style_class))
            if track.look in MARKERS:
                fine, plain = MARKERS[track.look]
                self.plot.scatter(window.x, window.y, marker=fine if self.unicode else plain, marker_style=style)
            elif self.unicode:
                self.plot.plot(window.x, window.y, line_style=style, hires_mode=HiResMode.BRAILLE)
            else:
                marker = "." if track.look == "raw" else "*"
                self.plot.scatter(window.x, window.y, marker=marker, marker_style=style)

    @property
    def _empty(self) -> bool:
        """Whether there is nothing to measure yet: a scale would look as if there were."""
        return not any(len(track.series) for track in self.tracks)

    def _x_ticks(self) -> tuple[tuple[float, str], ...]:
        (low, high), width = self.plot.x_limits, self.canvas.size.width
        shown = () if self._empty else linear_ticks(low, high, max(2, width // 8))
        return tuple((tick.value, tick.label) for tick in shown if _label_fits(tick, width, low, high))

    def _y_ticks(self) -> tuple[tuple[float, str], ...]:
        (low, high), rows = self.plot.y_limits, max(2, self.canvas.size.height // 2)
        if self._empty:
            return ()
        if self.log:
            shown: Sequence[Tick] = log_ticks(10**low, 10**high, rows)
            return tuple((math.log10(tick.value), tick.label) for tick in shown)
        return tuple((tick.value, tick.label) for tick in linear_ticks(low, high, rows))

    def _thin_axes(self) -> None:
        """Keep the left and the lower axis, thin."""
        buffer, _ = cells_of(self.canvas)
        if not buffer:
            return
        right, bottom = len(buffer[0]) - 1, len(buffer) - 1
        buffer[0] = [" "] * (right + 1)
        for y, row in enumerate(buffer):
            row[right] = " "
            row[0] = row[0].translate(_THIN)
            if y == 0:
                row[0] = "│"
            if not self.unicode:
                row[0] = row[0].translate(_ASCII)
        base = [cell.translate(_THIN) for cell in buffer[bottom]]
        buffer[bottom] = [cell.translate(_ASCII) for cell in base] if not self.unicode else base

    def _draw_cursor(self, cursor: float) -> None:
        """A dotted line through the cells that the curves leave free."""
        buffer, painted = cells_of(self.canvas)
        low, high = self.plot.x_limits
        if not buffer or not low <= cursor <= high:
            return
        width = len(buffer[0])
        column = min(width - 2, self.plot.get_pixel_from_coordinate(cursor, self.plot.y_limits[0])[0])
        style, mark = str(self.plot.get_component_rich_style("plot--tick")), "┊" if self.unicode else ":"
        for row, styles in zip(buffer[:-1], painted, strict=False):
            if row[column] in " \u2800":
                row[column], styles[column] = mark, style


def _label_fits(tick: Tick, width: int, low: float, high: float) -> bool:
    """Whether a label centred under its tick ends before the widget does; one at the very end is right-aligned."""
    if tick.value == high:
        return True
    column = (tick.value - low) / (high - low) * (width - 2) + 1
    return column + len(tick.label) / 2 + 1 <= width


def rounded_up(value: float, parts: int) -> float:
    """Round up to a multiple of a round step of which about `parts` make up the value."""
    rough = value / parts
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return math.ceil(value / step - 1e-9) * step


def limits(low: float, high: float) -> tuple[float, float]:
    """Choose y limits around data: a little air, in rough steps so that they seldom move.

    Args:
        low: Least value.
        high: Greatest value; may equal `low`.

    Returns:
        Lower and upper limit, never equal.
    """
    span = high - low
    if span <= 0 or span < 1e-9 * max(abs(low), abs(high)):
        air = abs(high) * 0.1 or 1.0
        return low - air, high + air
    power = 10.0 ** math.floor(math.log10(span / 20))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= span / 20 * (1 - 1e-9))
    floor = math.floor(low / step) * step
    return (0.0 if low >= 0 > floor else floor), math.ceil(high / step + 1e-9) * step
