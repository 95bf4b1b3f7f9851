"""The curves of the dashboard: which there are, and the panes that hold them. Imports textual-plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical

from tui.run.history import History
from tui.widgets.curve import Curve, Track


@dataclass(frozen=True, slots=True)
class Metric:
    """One curve."""

    key: str
    title: str
    legend: str
    tracks: Callable[[History], tuple[Track, ...]]
    from_zero: bool = False
    """Whether the scale begins at zero, so that small changes do not look large."""


def _loss(history: History) -> tuple[Track, ...]:
    return (
        Track(history.loss, "raw", "curve--raw"),
        Track(history.smooth.series, "line", "curve--smooth"),
        Track(history.evals, "dots", "curve--eval"),
    )


METRICS = (
    Metric("loss", "loss", "grey each step · bright smoothed · ● evaluation", _loss),
    Metric("rate", "learning_rate", "each step", lambda h: (Track(h.learning_rate, "line", "curve--second"),), True),
    Metric("norm", "grad_norm", "before clipping", lambda h: (Track(h.grad_norm, "line", "curve--third"),), True),
    Metric("speed", "tokens / s", "each step", lambda h: (Track(h.speed, "line", "curve--fourth"),)),
)
"""What the large pane can show; the first is shown at the start, the others also have small panes."""


def main_curves(history: History, *, unicode: bool) -> ComposeResult:
    """The large pane with every curve in it, of which the screen shows one."""
    with Vertical(id="main", classes="pane"):
        for metric in METRICS:
            yield Curve(metric.tracks(history), unicode=unicode, from_zero=metric.from_zero, id=f"curve-{metric.key}")


def minor_curves(history: History, *, unicode: bool) -> ComposeResult:
    """The small panes."""
    for metric in METRICS[1:]:
        with Vertical(classes="pane") as pane:
            pane.border_title = metric.title
            yield Curve(metric.tracks(history), unicode=unicode, from_zero=metric.from_zero, id=f"small-{metric.key}")
