"""Estimates the time that a run still takes, from what its steps, evaluations and saves took so far."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from itertools import pairwise
from statistics import StatisticsError, fmean, linear_regression, median, pstdev
from typing import TYPE_CHECKING

from trainer.run.state import number, whole

if TYPE_CHECKING:
    from trainer.history.columns import Steps
    from trainer.history.reader import Snapshot

RECENT_STEPS = 50
"""Number of steps that the present speed is measured over."""
HICCUP = 5.0
"""Times the median that a step's time counts at most."""
NINETY = 1.645
"""Standard deviations to either side within which nine of ten values of a normal distribution lie."""
FEWEST = 8
"""Steps from which on a regression says more than it guesses."""
UNSEEN = 0.03
"""Share of drift of the machine itself, which no step so far can tell."""


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """Seconds that a run still takes; nine times in ten between low and high."""

    seconds: float
    low: float
    high: float


def seconds_left(snapshot: Snapshot) -> float | None:
    """Middle of `time_left`, None where that is not known."""
    found = time_left(snapshot)
    return found.seconds if found else None


def time_left(snapshot: Snapshot) -> TimeLeft | None:
    """Estimate how long the run still takes.

    The mean of the latest step times, times the steps that are left, plus the evaluations and
    saves that are still due, each as long as those so far. The mean, because
    rows of unequal length make step times skewed and the rest of the run adds them all up; a hiccup, such as a
    suspended machine, counts as five times the median. It is moved to what a step of the whole run takes by the
    regression of step times on the tokens of these steps, because twenty steps seldom have the run's mean length
    (Cochran 1977, 'Sampling Techniques', chapter 7). The range is that of a mean of as many steps as are left,
    foretold from a mean of as many as were seen.

    Returns:
        None while there are too few steps, or the total is unknown, or the run has ended.
    """
    total, steps = snapshot.state.total_steps, snapshot.steps
    if not total or len(steps) < 3 or snapshot.state.ended or snapshot.died:
        return None
    recent = [seconds for seconds in steps[-RECENT_STEPS:].column("step_seconds") if seconds > 0]
    if not recent:
        return None
    left = max(0, total - steps[-1].step)
    most = HICCUP * median(recent)
    counted = [min(seconds, most) for seconds in recent]
    mean = fmean(counted)
    mean += _longer_rows(snapshot, most)
    middle = left * mean + _pauses_left(snapshot, left * mean)
    spread = pstdev(counted) / mean * math.sqrt(1 / len(counted) + 1 / max(1, left))
    share = math.hypot(NINETY * spread, UNSEEN)
    return TimeLeft(_rounded(middle), _rounded(middle * (1 - min(0.9, share))), _rounded(middle * (1 + share)))


def _longer_rows(snapshot: Snapshot, most: float) -> float:
    """Seconds that a step of the whole run takes more than those measured, for its rows are longer; may be negative.

    Args:
        snapshot: The run; its start says how many tokens a step has on average.
        most: What a step's time counts at most.
    """
    expected = snapshot.start.get("tokens_per_step")
    if not isinstance(expected, int | float) or not math.isfinite(expected):
        return 0.0
    latest = snapshot.steps[-RECENT_STEPS:]
    pairs = [
        (after - before, min(seconds, most))
        for (before, after), seconds in zip(
            pairwise(latest.column("tokens")), latest.column("step_seconds", 1), strict=True
        )
        if after > before and seconds > 0
    ]
    if len(pairs) < FEWEST:
        return 0.0
    tokens, seconds = zip(*pairs, strict=True)
    try:
        found = linear_regression(tokens, seconds).slope
    except StatisticsError:
        return 0.0
    slope = max(0.0, min(fmean(seconds) / fmean(tokens), found))
    return slope * (expected - fmean(tokens))


def _rounded(seconds: float) -> float:
    """Round to the minute above 20 minutes, to ten seconds above two: more digits would only flicker."""
    grain = 60.0 if seconds > 1200 else 10.0 if seconds > 120 else 1.0
    return round(seconds / grain) * grain


def _pauses_left(snapshot: Snapshot, left: float) -> float:
    """Seconds of the evaluations and saves that are to come.

    Each as long as those between the steps so far; before the first of them, as the evaluation before training and
    the checkpoint that was tried. Where the run does not say when they are due, their share of the time so far.

    Args:
        snapshot: The run.
        left: Seconds of the steps that are left.
    """
    steps, total = snapshot.steps, snapshot.state.total_steps or 0
    so_far, inside = _between(steps)
    first, last = steps[0].step, steps[-1].step
    due = [(every, cost) for every, cost in (_evaluations(snapshot), _saves(snapshot)) if every]
    if not due or not all(cost for _, cost in due):
        return left * min(2.0, so_far / inside) if inside > 0 else 0.0
    seen = sum(cost * ((last - 1) // every - (first - 1) // every) for every, cost in due)
    ahead = sum(cost * (math.ceil(total / every) - (last - 1) // every) for every, cost in due)
    # A run that stood still between two lives has not evaluated all that time.
    return ahead * (min(HICCUP, max(1 / HICCUP, so_far / seen)) if seen else 1.0)


def _between(steps: Steps) -> tuple[float, float]:
    """Seconds between steps and within them, over the latest thousand."""
    looked_at = steps[-1000:]
    took = (0.0 if math.isnan(seconds) else seconds for seconds in looked_at.column("step_seconds", 1))
    # Not every step is logged: a point stands for all steps since the one before it.
    inside = sum(map(_product, took, _strides(looked_at.column("step"))))
    return max(0.0, looked_at[-1].t - looked_at[0].t - inside), inside


def _evaluations(snapshot: Snapshot) -> tuple[int, float]:
    """Number of steps between evaluations, and the seconds of the first, with the questions asked after it."""
    every = whole(snapshot.start.get("eval_every")) or 0
    if not every or not snapshot.evals or snapshot.evals[0].step:
        return every, 0.0
    first = snapshot.steps[0]
    asked = first.t - (first.step_seconds or 0.0) - snapshot.evals[0].t
    return every, (snapshot.evals[0].seconds or 0.0) + max(0.0, asked)


def _saves(snapshot: Snapshot) -> tuple[int, float]:
    """Number of steps between checkpoints, and the seconds of the one that was tried."""
    return whole(snapshot.start.get("save_every")) or 0, number(snapshot.preflight.get("checkpoint_seconds")) or 0.0


def _strides(numbers: array[float]) -> list[float]:
    return [max(1.0, after - before) for before, after in pairwise(numbers)]


def _product(seconds: float, steps: float) -> float:
    return seconds * steps
