"""A curve over steps: raw grey, smoothed bright, evaluations as dots; linear or logarithmic.

It stands on textual-plot, which draws, zooms and pans, and adds what a live run over a slow line needs: points are
thinned to the visible columns at every redraw, ticks and labels are ours (textual-plot has no logarithmic scale and
labels 2.9e-4 as 0.000), and only the cells that changed are sent to the terminal. textual-plot imports numpy, so this
module is imported when the Train screen opens and not before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual.events import MouseMove
from textual.message import Message
from textual_hires_canvas import Canvas
from textual_plot import HiResMode
from textual_plot.axis_formatter import AxisFormatter

from tui.widgets.curves.cells import changed_rows
from tui.widgets.curves.plot import Follows, Plot, cells_of, held
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
    tone: str
    """Component class that gives its colour, such as 'curve--raw'."""
    name: str = ""
    """Name beside a value, and by which it is hidden."""


class _Ticks(AxisFormatter):  # type: ignore[misc]
    """Hands textual-plot the ticks that the curve has chosen, in the plot's own coordinates."""

    def __init__(self) -> None:
        self.ticks: tuple[tuple[float, str], ...] = ()

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:  # noqa: ARG002
        return [position for position, _ in self.ticks]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:  # noqa: ARG002
        return [label for _, label in self.ticks]


class Curve(Plot, inherit_bindings=False):  # type: ignore[call-arg]  # of untyped PlotWidget
    """Tracks over steps, redrawn by `redraw` when their series have grown."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "plot--axis",
        "plot--tick",
        "plot--label",
        "curve--raw",
        "curve--smooth",
        "curve--eval",
        "curve--second",
        "curve--third",
        "curve--fourth",
        "curve--other",
    }
    DEFAULT_CSS = """
    Curve {
        background: transparent;
        & > .plot--axis { color: $line; }
        &:focus > .plot--axis { color: $primary; }
        & > .plot--tick { color: $quiet; text-style: none; }
        & > .curve--raw { color: $quiet 70%; }
        & > .curve--smooth { color: $primary; }
        & > .curve--eval { color: $warning; text-style: bold; }
        & > .curve--second { color: $extra; }
        & > .curve--third { color: $extra2; }
        & > .curve--fourth { color: $success; }
        & > .curve--other { color: $extra; }
        Canvas { background: transparent; }
    }
    """

    class Pointed(Message):
        """The mouse or the keyboard points at another step of a curve, or at none."""

        def __init__(self, curve: Curve) -> None:
            super().__init__()
            self.curve = curve

        @property
        def control(self) -> Curve:
            """The curve."""
            return self.curve

    def __init__(
        self, tracks: Sequence[Track], *, unicode: bool = True, from_zero: bool = False, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self._from_zero = from_zero
        self._tracks = tuple(tracks)
        self._unicode = unicode
        self._log = False
        self._painting = False
        self._cursor: float | None = None
        self._hidden: frozenset[str] = frozenset()
        self._x_ticks_shown, self._y_ticks_shown = _Ticks(), _Ticks()
        self.set_x_formatter(self._x_ticks_shown)
        self.set_y_formatter(self._y_ticks_shown)

    def on_mount(self) -> None:
        """Use every row for data, and follow the theme."""
        self.margin_top, self.margin_bottom, self.margin_left = 0, 1, 8
        # The signal comes before the styles of the tones have followed.
        self.app.theme_changed_signal.subscribe(self, lambda _: self.call_after_refresh(self.redraw))

    @property
    def log_scale(self) -> bool:
        """Whether y is logarithmic."""
        return self._log

    def set_log(self, log: bool) -> None:
        """Switch the scale of y; a zoom in y is given up, for its limits mean something else now."""
        self._log = log
        self.follows = self.follows._replace(y_min=True, y_max=True)
        self.redraw()

    @property
    def zoomed(self) -> bool:
        """Whether limits were set by hand, so that new points do not move them."""
        return self.follows != Follows()

    def reset(self) -> None:
        """Follow the data again."""
        self.follows = Follows()
        self.redraw()

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Tracks that are drawn, hidden ones left out."""
        return tuple(track for track in self._tracks if track.name not in self._hidden)

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Draw others from now on."""
        self._tracks = tuple(tracks)
        self.redraw()

    def hide(self, names: frozenset[str]) -> None:
        """Leave the tracks of these names out."""
        self._hidden = names
        self.redraw()

    @property
    def cursor(self) -> float | None:
        """The step that is pointed at."""
        return self._cursor

    def point_at(self, step: float | None) -> None:
        """Point at a step, or at none; a line shows where."""
        if step != self._cursor:
            self._cursor = step
            self.redraw()
            self.post_message(self.Pointed(self))

    def move_cursor(self, columns: int) -> None:
        """Point so many columns further; from the middle where nothing is pointed at."""
        width = self._plot_width()
        low, high = self.x_limits
        at = (low + high) / 2 if self._cursor is None else self._cursor
        if width > 2:
            at += columns * (high - low) / (width - 2)
        self.point_at(min(high, max(low, at)))

    def values(self) -> tuple[tuple[str, float, float], ...]:
        """Name, step and value of each track's point that is nearest to the cursor."""
        if self._cursor is None:
            return ()
        # A star marks a point of another track.
        named = (track for track in self.tracks if track.look != "star")
        found = ((track.name, track.series.nearest(self._cursor)) for track in named)
        return tuple((name, *point) for name, point in found if point is not None)

    def on_mouse_move(self, event: MouseMove) -> None:
        """Point at the step under the mouse."""
        width = self._plot_width()
        column = event.screen_x - self.region.x - self.margin_left - 1
        if width > 2 and 0 <= column < width - 2:
            low, high = self.x_limits
            self.point_at(low + column / (width - 2) * (high - low))

    def on_leave(self) -> None:
        """Point at nothing when the mouse has gone."""
        self.point_at(None)

    def _plot_width(self) -> int:
        plot = self.plot_canvas()
        return plot.size.width if plot is not None else 0

    def redraw(self) -> None:
        """Draw the series as they are now, sending only the cells that changed."""
        if self.is_mounted and self.size and not self._painting:
            self._paint()

    def _paint(self) -> None:
        canvases = list(self.query(Canvas))
        before = [cells_of(canvas) for canvas in canvases]
        with held(canvases):
            self.draw()
        for canvas, old in zip(canvases, before, strict=True):
            regions = changed_rows(old, cells_of(canvas))
            if regions:
                canvas.refresh(*regions)

    def draw(self) -> None:
        """Draw the series as they are now."""
        # Styles are also updated before the canvases are composed and after they are removed.
        plot = self.plot_canvas()
        if plot is None or plot.size.width < 4 or plot.size.height < 3:
            return
        self._painting = True
        try:
            self._fit_x()
            windows = [self._window(track, plot.size.width) for track in self.tracks]
            self._fit_y(windows)
            self._fill(windows)
            self._choose_ticks(plot)
            self.draw_within_limits()
            self._thin_axes(plot)
            self._draw_cursor(plot)
        finally:
            self._painting = False

    def _fit_x(self) -> None:
        last = max((track.series.x[-1] for track in self.tracks if len(track.series)), default=1.0)
        low, high = self.x_limits
        if self.follows.x_min:
            low = 0.0
        if self.follows.x_max:
            # A little air on the right, in rough steps: otherwise each new step would move every column.
            high = rounded_up(max(last, 2.0), 50)
        self.x_limits = low, high

    def _window(self, track: Track, columns: int) -> Window:
        per_column = 2 if self._unicode else 1
        found = track.series.window(*self.x_limits, columns * per_column)
        if track.look == "dots" and found.x and len(track.series) > len(found.x):
            # Thinned, a bucket shows its extremes; the last evaluation, the one that counts, may be none of them.
            found = found.with_last(track.series, self.x_limits[1])
        if not self._log:
            return found
        kept = [(x, math.log10(y)) for x, y in zip(found.x, found.y, strict=True) if y > 0]
        return Window(tuple(x for x, _ in kept), tuple(y for _, y in kept))

    def _fit_y(self, windows: Sequence[Window]) -> None:
        values = [y for window in windows for y in window.y]
        if not (self.follows.y_min or self.follows.y_max) or not values:
            return
        lowest = min(values)
        if self._from_zero and not self._log:
            lowest = min(0.0, lowest)
        low, high = limits(lowest, max(values))
        before = self.y_limits
        self.y_limits = low if self.follows.y_min else before[0], high if self.follows.y_max else before[1]

    def _fill(self, windows: Sequence[Window]) -> None:
        self.clear()
        for track, window in zip(self.tracks, windows, strict=True):
            if not window.x:
                continue
            style = str(self.get_component_rich_style(track.tone))
            if track.look in MARKERS:
                fine, plain = MARKERS[track.look]
                self.scatter(window.x, window.y, marker=fine if self._unicode else plain, marker_style=style)
            elif self._unicode:
                self.plot(window.x, window.y, line_style=style, hires_mode=HiResMode.BRAILLE)
            else:
                marker = "." if track.look == "raw" else "*"
                self.scatter(window.x, window.y, marker=marker, marker_style=style)

    def _make_room(self, labels: Sequence[str]) -> None:
        """Give the labels of y the width that they need; a new layout, so only when it changes."""
        wanted = max((len(label) for label in labels), default=1) + 3
        if wanted != self.margin_left:
            self.call_later(self._widen, wanted)

    def _widen(self, wanted: int) -> None:
        self.margin_left = wanted
        # The canvases get their new sizes with the next layout, of which this widget itself hears nothing.
        self.call_after_refresh(self.refresh, layout=True)

    def _choose_ticks(self, plot: Canvas) -> None:
        width, height = plot.size.width, plot.size.height
        (x_min, x_max), (y_min, y_max) = self.x_limits, self.y_limits
        x_ticks = linear_ticks(x_min, x_max, max(2, width // 8))
        self._x_ticks_shown.ticks = tuple(
            (tick.value, tick.label) for tick in x_ticks if self._label_fits(tick, width, x_min, x_max)
        )
        rows = max(2, height // 2)
        if not any(len(track.series) for track in self.tracks):
            # There is nothing to measure yet, and a scale would look as if there were.
            self._x_ticks_shown.ticks = self._y_ticks_shown.ticks = ()
        elif self._log:
            shown: Sequence[Tick] = log_ticks(10**y_min, 10**y_max, rows)
            self._y_ticks_shown.ticks = tuple((math.log10(tick.value), tick.label) for tick in shown)
        else:
            self._y_ticks_shown.ticks = tuple((t.value, t.label) for t in linear_ticks(y_min, y_max, rows))

        self._make_room([label for _, label in self._y_ticks_shown.ticks])

    @staticmethod
    def _label_fits(tick: Tick, width: int, low: float, high: float) -> bool:
        """Whether a label centred under its tick ends before the widget does; one at the very end is right-aligned."""
        if tick.value == high:
            return True
        column = (tick.value - low) / (high - low) * (width - 2) + 1
        return column + len(tick.label) / 2 + 1 <= width

    def get_pixel_from_coordinate(self, x: float, y: float) -> tuple[int, int]:
        """Return the column and row of a point; one on a limit lies within the axes, where it is seen.

        textual-plot puts the greatest x and y into its box's right and upper edge, which is not drawn here.
        """
        column, row = super().get_pixel_from_coordinate(x, y)
        inside, (x_min, x_max), (y_min, y_max) = self.inside, self.x_limits, self.y_limits
        if _at(x, x_max, x_max - x_min):
            column = inside.right - 1
        if _at(y, y_max, y_max - y_min):
            row = inside.y
        elif _at(y, y_min, y_max - y_min):
            row = inside.bottom - 1
        return column, row

    def _thin_axes(self, plot: Canvas) -> None:
        """Keep the left and the lower axis, thin."""
        buffer, _ = cells_of(plot)
        if not buffer:
            return
        right, bottom = len(buffer[0]) - 1, len(buffer) - 1
        buffer[0] = [" "] * (right + 1)
        for y, row in enumerate(buffer):
            row[right] = " "
            row[0] = row[0].translate(_THIN)
            if y == 0:
                row[0] = "│"
            if not self._unicode:
                row[0] = row[0].translate(_ASCII)
        base = [cell.translate(_THIN) for cell in buffer[bottom]]
        buffer[bottom] = [cell.translate(_ASCII) for cell in base] if not self._unicode else base

    def _draw_cursor(self, plot: Canvas) -> None:
        """A dotted line through the cells that the curves leave free."""
        buffer, painted = cells_of(plot)
        low, high = self.x_limits
        if self._cursor is None or not buffer or not low <= self._cursor <= high:
            return
        width = len(buffer[0])
        column = min(width - 2, self.get_pixel_from_coordinate(self._cursor, self.y_limits[0])[0])
        style, mark = str(self.get_component_rich_style("plot--tick")), "┊" if self._unicode else ":"
        for row, styles in zip(buffer[:-1], painted, strict=False):
            if row[column] in " \u2800":
                row[column], styles[column] = mark, style


def _at(value: float, limit: float, span: float) -> bool:
    """Whether a value is a limit, but for rounding."""
    return abs(value - limit) <= 1e-9 * span


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
