"""Effects of the dashboard's keys on its curves: the large one, scale, window, smoothing, cursor, and another run."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.markup import escape

from presets.errors import WizardError
from recommender.units import counted
from trainer.history.reader import RunReader
from tui.dashboard.curves import History
from tui.terminal.sanitize import clean
from tui.terminal.task import Task
from tui.widgets.curves.ticks import short

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from recommender.stages import Stage
    from trainer.history.reader import Snapshot
    from tui.screens.train.panes import Metric
    from tui.widgets.curves.curve import Curve
    from tui.widgets.curves.drawing import Track

SMOOTHINGS = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Times the usual look back that `<` and `>` go through."""


class CurveKeys:
    """The curves of a run, a part of the Train screen.

    Args:
        screen: The Train screen, with `main_pane` in it.
        run_path: The run's folder.
        stage: What it trains, which says what there is to be drawn.
        unicode: Says whether more than ASCII may be drawn.

    Attributes:
        history: Everything that the curves are drawn of.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "next_metric", "curve"),
        Binding("y", "log_scale", "log-y", show=False),
        Binding("plus,equals_sign", "zoom(1)", "zoom", key_display="+ -", show=False),
        Binding("minus", "zoom(-1)", "zoom out", show=False),
        Binding("F", "full_screen", "full screen"),
        Binding("k", "cursor", "values at a cursor", show=False),
        Binding("h", "hide", "hide raw or evaluations", show=False),
        Binding("less_than_sign,comma", "smooth(-1)", "smooth less", show=False, key_display="<"),
        Binding("greater_than_sign,full_stop", "smooth(1)", "smooth more", show=False, key_display=">"),
        Binding("O", "older", "lay another run behind", show=False),
        Binding("left", "pan('left')", "move left", show=False),
        Binding("right", "pan('right')", "move right", show=False),
        Binding("up", "pan('up')", "move up", show=False),
        Binding("down", "pan('down')", "move down", show=False),
        Binding("0", "reset_view", "whole curve", show=False),
    ]

    def __init__(self, screen: Screen[None], run_path: Path, stage: Stage, unicode: Callable[[], bool]) -> None:
        self._screen = screen
        self._run_path = run_path
        self._unicode = unicode
        self.history = History(stage)
        self._metric = 0
        self._hiding = 0
        self._said = ""
        self._older: tuple[str, History] | None = None
        self._reading_older = Task(screen, "older")

    @property
    def metric(self) -> Metric:
        """Metric shown in the large pane."""
        return self.metrics[self._metric]

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Metrics that the large pane can show."""
        from tui.screens.train.panes import metrics_of

        return metrics_of(self.history.stage)

    def all(self) -> list[Curve]:
        """Every curve, seen or not."""
        from tui.widgets.curves.curve import Curve

        return list(self._screen.query(Curve))

    @property
    def large(self) -> Curve:
        """The curve of the large pane, made when it is wanted for the first time."""
        from tui.screens.train.panes import curve_of

        there = self._screen.query(f"#curve-{self.metric.key}").results(self._curve_type)
        if (found := next(iter(there), None)) is not None:
            return found
        made = curve_of(self.history, self.metric, unicode=self._unicode())
        made.set_tracks(self._tracks(self.metric))
        self._screen.query_one("#main").mount(made)
        return made

    def _aimed_at(self) -> Curve:
        """The curve that keys act on: the one with the focus, else the large one."""
        from tui.widgets.curves.curve import Curve

        return self._screen.focused if isinstance(self._screen.focused, Curve) else self.large

    # What is shown

    def show_metric(self) -> None:
        """Show the chosen curve in the large pane, and say which it is."""
        large = self.large
        for curve in self._screen.query("#main Curve"):
            curve.display = curve is large
        title = self.metric.title
        # The status line has no room for the run's name on a narrow screen.
        named = f"{title} · {clean(self._run_path.name)}" if self._screen.has_class("-narrow") else title
        self._screen.query_one("#main").border_title = escape(named)
        self.say_view()

    def say_view(self) -> None:
        """Show the legend of the large curve: its values at the cursor, else how it is drawn."""
        from tui.screens.train.panes import BEST, HIDINGS
        from tui.widgets.curves.drawing import MARKERS

        curve = self.large
        legend = self._best() + self.metric.legend
        if not self._unicode():
            for fine, plain in MARKERS.values():
                legend = legend.replace(fine, plain)
        hidden = sorted(HIDINGS[self._hiding] - {BEST}) if self.metric.key == "loss" else []
        parts = [
            "log-y" if curve.log_scale else "",
            "zoomed, 0 shows all" if curve.zoomed else "",
            f"hidden: {', '.join(hidden)}" if hidden else "",
            f"smoothed over {counted(round(self.history.smooth.span), 'step')}"
            if self.history.smoothing != 1.0
            else "",
            f"behind: {self._older[0]}" if self._older else "",
            legend,
        ]
        said = self._values() or " · ".join(part for part in parts if part)
        if said != self._said:
            # Setting it repaints the pane, whatever stood there before.
            self._said = said
            self._screen.query_one("#main").border_subtitle = escape(said)

    def _best(self) -> str:
        """The best evaluation, as the legend names its mark."""
        from tui.screens.train.panes import BEST, HIDINGS

        best = self.history.best
        if self.metric.key != "loss" or BEST in HIDINGS[self._hiding] or not len(best):
            return ""
        return f"★ best {short(best.y[-1], 4)} at {best.x[-1]:.0f} · "

    def _values(self) -> str:
        found = self.large.values()
        if not found:
            return ""
        unit = f" {self.metric.unit}" if self.metric.unit else ""
        # Evaluations are few: theirs may be of another step, which is then said.
        first = found[0][1]
        said = [
            f"{name} {short(value, 4)}{unit}{f' at {step:.0f}' if abs(step - first) >= 1 else ''}".strip()
            for name, step, value in found
        ]
        return f"step {first:.0f} · {' · '.join(said)}"

    def action_next_metric(self) -> None:
        """Show another curve in the large pane; those that the run has nothing for are passed over."""
        for _ in self.metrics:
            self._metric = (self._metric + 1) % len(self.metrics)
            if any(len(track.series) for track in self.metric.tracks(self.history)):
                break
        self.show_metric()
        self._screen.call_after_refresh(self.large.redraw)

    def action_full_screen(self) -> None:
        """Give the large curve the whole screen, or show the panes again."""
        self._screen.toggle_class("-full")

    def action_log_scale(self) -> None:
        """Switch the scale between linear and logarithmic."""
        curve = self._aimed_at()
        curve.set_log(not curve.log_scale)
        self.say_view()

    def action_hide(self) -> None:
        """Hide the raw line, then the evaluations too, then all but the raw line, then nothing."""
        from tui.screens.train.panes import HIDINGS

        self._hiding = (self._hiding + 1) % len(HIDINGS)
        for curve in self._screen.query("#curve-loss").results(self._curve_type):
            curve.hide(HIDINGS[self._hiding])
        self.say_view()

    @property
    def _curve_type(self) -> type[Curve]:
        from tui.widgets.curves.curve import Curve

        return Curve

    def action_smooth(self, direction: int) -> None:
        """Smooth over more or fewer steps."""
        index = SMOOTHINGS.index(self.history.smoothing) + direction
        self.history.smoothen(SMOOTHINGS[max(0, min(len(SMOOTHINGS) - 1, index))])
        self.large.redraw()
        self.say_view()

    # The window

    def action_zoom(self, direction: int) -> None:
        """Zoom in or out around the middle, along the steps."""
        curve = self._aimed_at()
        curve.action_zoom_x_in() if direction > 0 else curve.action_zoom_x_out()
        self.say_view()

    def action_pan(self, direction: str) -> None:
        """Move the window over the curve; left and right move the cursor while there is one."""
        curve = self._aimed_at()
        if curve.cursor is not None and direction in ("left", "right"):
            curve.move_cursor(1 if direction == "right" else -1)
            return
        moves = {
            "left": curve.action_pan_left,
            "right": curve.action_pan_right,
            "up": curve.action_pan_up,
            "down": curve.action_pan_down,
        }
        moves[direction]()
        self.say_view()

    def action_reset_view(self) -> None:
        """Show everything and follow the run again."""
        curve = self._aimed_at()
        curve.point_at(None)
        curve.reset()
        self.say_view()

    def action_cursor(self) -> None:
        """Show the values at a cursor that the arrows move, or remove it."""
        curve = self._aimed_at()
        curve.move_cursor(0) if curve.cursor is None else curve.point_at(None)

    # Another run

    def action_older(self) -> None:
        """Draw another run's curves behind these, or take them away."""
        if self._older is not None:
            self._older = None
            self._lay_behind()
            return
        from tui.screens.popup import PickPopup
        from tui.screens.runs.text import picks_of_runs

        try:
            build = picks_of_runs(self._run_path)
        except WizardError as error:
            self._screen.notify(clean(str(error)), severity="error", markup=False)
            return
        popup = PickPopup("lay which run behind?", build, filtered=True)
        self._screen.app.push_screen(popup, self._older_chosen)

    def _older_chosen(self, chosen: str | None) -> None:
        if chosen:
            self._reading_older.start(
                lambda _run: RunReader(Path(chosen)).poll(),
                self._older_read,
                lambda error: self._screen.notify(clean(str(error)), severity="error", timeout=10, markup=False),
            )

    def _older_read(self, snapshot: Snapshot) -> None:
        history = History(snapshot.stage)
        history.absorb(snapshot)
        self._older = clean(snapshot.run_id), history
        self._lay_behind()

    def _lay_behind(self) -> None:
        for metric in self.metrics:
            for curve in self._screen.query(f"#curve-{metric.key}").results(self._curve_type):
                curve.set_tracks(self._tracks(metric))
        self.say_view()

    def _tracks(self, metric: Metric) -> tuple[Track, ...]:
        """Tracks of a large curve: this run's, and the other's behind it."""
        from tui.screens.train.panes import older

        own = metric.tracks(self.history)
        return (*older(self._older[1], metric), *own) if self._older else own
