"""The curves of a run, grown from one snapshot to the next: only new points are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

from tui.widgets.series import Series, Smoothed, slope_per_100, span_for

if TYPE_CHECKING:
    from trainer.reader import Snapshot, StepPoint

RECENT_STEPS = 50
"""How many steps the present speed is measured over."""
HICCUP = 5.0
"""Times the median that a step's time counts at most."""


@dataclass
class History:
    """Series over steps, ready to be drawn.

    Attributes:
        loss: Training loss of each step.
        smooth: The same, smoothed.
        evals: Evaluation losses.
        learning_rate: Of each step.
        grad_norm: Of each step, before clipping.
        speed: Tokens a second.
    """

    loss: Series = field(default_factory=Series)
    smooth: Smoothed = field(default_factory=Smoothed)
    evals: Series = field(default_factory=Series)
    learning_rate: Series = field(default_factory=Series)
    grad_norm: Series = field(default_factory=Series)
    speed: Series = field(default_factory=Series)
    _seen: int = 0
    _last: StepPoint | None = None
    _evals_seen: int = 0

    def absorb(self, snapshot: Snapshot) -> bool:
        """Take in what a snapshot has that the one before had not.

        Returns:
            Whether any curve changed.
        """
        span = span_for(snapshot.state.total_steps)
        if self._went_back(snapshot.steps) or span != self.smooth.span:
            self._start_again(span)
        fresh = snapshot.steps[self._seen :]
        if not fresh and len(snapshot.evals) == self._evals_seen:
            return False
        losses = [(float(point.step), point.loss) for point in fresh]
        self.loss.extend(losses)
        self.smooth.extend(losses)
        self.learning_rate.extend((point.step, point.learning_rate) for point in fresh)
        self.grad_norm.extend((point.step, point.grad_norm) for point in fresh)
        self.speed.extend((point.step, point.tokens_per_second) for point in fresh)
        self.evals.clear()
        self.evals.extend((point.step, point.eval_loss) for point in snapshot.evals)
        self._seen, self._evals_seen = len(snapshot.steps), len(snapshot.evals)
        self._last = snapshot.steps[-1] if snapshot.steps else None
        return True

    @property
    def trend(self) -> float | None:
        """Change of the smoothed loss per 100 steps, None while it is too early to say."""
        return slope_per_100(self.smooth.series)

    def _went_back(self, steps: Sequence[StepPoint]) -> bool:
        """Whether steps that were drawn are gone: the run was resumed from an earlier checkpoint."""
        return self._seen > 0 and (len(steps) < self._seen or steps[self._seen - 1] is not self._last)

    def _start_again(self, span: float) -> None:
        for series in (self.loss, self.evals, self.learning_rate, self.grad_norm, self.speed):
            series.clear()
        self.smooth.respan(span, ())
        self._seen, self._evals_seen, self._last = 0, 0, None


def seconds_left(snapshot: Snapshot) -> float | None:
    """Estimate how long the run still takes.

    The mean of the latest step times, times the steps that are left, plus the share of time that evaluating and
    saving have taken between the steps so far (the evaluation before the first step does not count). The mean, because
    rows of unequal length make step times skewed and the rest of the run adds them all up; a hiccup, such as a
    suspended machine, counts as five times the median.

    Returns:
        Seconds; None while there are too few steps, or the total is unknown, or the run has ended.
    """
    total, steps = snapshot.state.total_steps, snapshot.steps
    if not total or len(steps) < 3 or snapshot.state.ended or snapshot.died:
        return None
    recent = [point.step_seconds for point in steps[-RECENT_STEPS:] if point.step_seconds]
    if not recent:
        return None
    left = max(0, total - steps[-1].step)
    most = HICCUP * median(recent)
    return _rounded(left * fmean(min(seconds, most) for seconds in recent) * _overhead(steps))


def _rounded(seconds: float) -> float:
    """To the minute above 20 minutes, to ten seconds above two: more digits would only flicker."""
    grain = 60.0 if seconds > 1200 else 10.0 if seconds > 120 else 1.0
    return round(seconds / grain) * grain


def _overhead(steps: Sequence[StepPoint]) -> float:
    """Wall time over time within steps, over the latest thousand of them; at least 1, at most 3."""
    looked_at = steps[-1000:]
    # Not every step is logged: a point stands for all steps since the one before it.
    inside = sum(
        (point.step_seconds or 0.0) * max(1, point.step - before.step) for before, point in pairwise(looked_at)
    )
    wall = looked_at[-1].t - looked_at[0].t
    return min(3.0, max(1.0, wall / inside)) if inside > 0 else 1.0
