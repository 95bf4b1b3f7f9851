"""A curve over steps: raw grey, smoothed bright, evaluations as dots; linear or logarithmic.

It stands on textual-plot, which draws, zooms and pans, and adds what a live run over a slow line needs: points are
thinned to the visible columns at every redraw, ticks and labels are ours (textual-plot has no logarithmic scale and
labels 2.9e-4 as 0.000), and only the cells that changed are sent to the terminal. textual-plot imports numpy, so this
module is imported when the Train screen opens and not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.events import MouseMove
from textual.message import Message
from textual_hires_canvas import Canvas

from tui.widgets.curves.cells import changed_rows
from tui.widgets.curves.drawing import Drawing, Ticks, Track
from tui.widgets.curves.plot import Follows, Plot, cells_of, held


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
        self._x_ticks_shown, self._y_ticks_shown = Ticks(), Ticks()
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
        if not (self.is_mounted and self.size) or self._painting:
            return
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
        drawing = Drawing(self, plot, self.tracks, self._unicode, self._log, self._from_zero)
        try:
            drawing.draw(self._x_ticks_shown, self._y_ticks_shown, self._cursor)
        finally:
            self._painting = False
        # The width that the labels of y need; a new layout, so only when it changes.
        wanted = max((len(label) for _, label in self._y_ticks_shown.ticks), default=1) + 3
        if wanted != self.margin_left:
            self.call_later(self._widen, wanted)

    def _widen(self, wanted: int) -> None:
        self.margin_left = wanted
        # The canvases get their new sizes with the next layout, of which this widget itself hears nothing.
        self.call_after_refresh(self.refresh, layout=True)

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


def _at(value: float, limit: float, span: float) -> bool:
    """Whether a value is a limit, but for rounding."""
    return abs(value - limit) <= 1e-9 * span
