"""Curves of the dashboard, and the panes that hold them. Imports textual-plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

from textual.app import ComposeResult
from textual.containers import Vertical

from recommender.stages.base import LOSS, Figure, Stage
from tui.dashboard.curves import History
from tui.widgets.curves.curve import Curve
from tui.widgets.curves.drawing import Track

RAW, SMOOTH, EVALUATION, BEST, OLDER = "raw", "smoothed", "eval", "best", "behind"
"""Names of the loss's tracks."""
HIDINGS: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({RAW}),
    frozenset({RAW, EVALUATION, BEST}),
    frozenset({SMOOTH, EVALUATION, BEST}),
)
"""Sets of tracks that `h` hides, one after the other."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One curve."""

    key: str
    title: str
    legend: str
    tracks: Callable[[History], tuple[Track, ...]]
    unit: str = ""
    from_zero: bool = False
    """Whether the scale begins at zero, so that small changes do not look large."""


def _loss(history: History) -> tuple[Track, ...]:
    return (
        Track(history.loss, "raw", "curve--raw", RAW),
        Track(history.smooth.series, "line", "curve--smooth", SMOOTH),
        Track(history.evals, "dots", "curve--eval", EVALUATION),
        Track(history.best, "star", "curve--eval", BEST),
    )


def _one(series: str, style_class: str) -> Callable[[History], tuple[Track, ...]]:
    """A curve of one line."""
    return lambda history: (Track(getattr(history, series), "line", style_class),)


def _figure(key: str, style_class: str) -> Callable[[History], tuple[Track, ...]]:
    """A curve of one figure of the trainer's log; without a line where another stage's run does not log it."""
    return lambda history: (Track(history.figures[key], "line", style_class),) if key in history.figures else ()


STYLE_CLASSES = ("curve--second", "curve--third", "curve--fourth", "curve--eval")
"""Style classes of the figures' curves, in turn."""
LOSS_CURVE = Metric("loss", "loss", "● eval · smooth line · grey raw", _loss)
ABOUT_THE_MACHINE = (
    Metric("speed", "tokens / s", "each step", _one("speed", "curve--fourth"), "tok/s"),
    Metric("busy", "in use, %", "GPU, or this process on a CPU", _one("busy", "curve--fourth"), "%", from_zero=True),
    Metric("memory", "memory, GiB", "of the card, or of this process", _one("memory", "curve--third"), "GiB", True),
    Metric("power", "power, W", "of the card", _one("power", "curve--second"), "W", from_zero=True),
    Metric("heat", "temperature, °C", "of the card", _one("heat", "curve--eval"), "°C"),
)
"""Curves that every stage has."""
SMALL = 3
"""Number of those after the first that have small panes too."""


def metrics_of(stage: Stage) -> tuple[Metric, ...]:
    """Return the curves that the large pane can show for runs of a stage; the first is shown at the start."""
    others = (figure for figure in stage.figures if figure != LOSS)
    return (LOSS_CURVE, *map(_logged, others, cycle(STYLE_CLASSES)), *ABOUT_THE_MACHINE)


def _logged(figure: Figure, style_class: str) -> Metric:
    """The curve of a figure that the trainer logs at each step."""
    return Metric(figure.key, figure.title, figure.legend, _figure(figure.key, style_class), from_zero=figure.from_zero)


def older(history: History, metric: Metric) -> tuple[Track, ...]:
    """Another run's curve, drawn behind this one's: its smoothed loss, or the whole of it; none where it has none."""
    found = [history.smooth.series] if metric.key == "loss" else [track.series for track in metric.tracks(history)]
    return tuple(Track(series, "line", "curve--other", OLDER) for series in found[:1])


def curve_of(history: History, metric: Metric, *, unicode: bool, small: bool = False) -> Curve:
    """The curve of a metric, for the large pane or for its own small one."""
    name = f"{'small' if small else 'curve'}-{metric.key}"
    return Curve(metric.tracks(history), unicode=unicode, from_zero=metric.from_zero, id=name)


def main_pane(history: History, *, unicode: bool) -> ComposeResult:
    """The large pane with its first curve; the others are made when somebody wants to see them."""
    with Vertical(id="main", classes="pane"):
        yield curve_of(history, LOSS_CURVE, unicode=unicode)


def minor_curves(history: History, *, unicode: bool) -> ComposeResult:
    """The small panes."""
    for metric in metrics_of(history.stage)[1 : 1 + SMALL]:
        with Vertical(classes="pane") as pane:
            pane.border_title = metric.title
            yield curve_of(history, metric, unicode=unicode, small=True)
