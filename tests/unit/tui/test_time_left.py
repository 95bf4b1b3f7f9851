"""The time left, as told after 20 steps of runs whose rows are of unequal length, against what the rest takes."""

from __future__ import annotations

import random
from pathlib import Path

from trainer.columns import Steps
from trainer.reader import Snapshot, StepPoint
from trainer.state import RunState
from tui.run.time_left import seconds_left, time_left

STEPS = 400
AFTER = 20


def timeline(seed: int, *, hiccup_at: int | None = None) -> list[StepPoint]:
    """Steps of 4 micro-batches of 4 lognormal rows, each padded to its longest; one step may hang."""
    dice = random.Random(seed)
    points, now = [], 0.0
    for step in range(1, STEPS + 1):
        padded = sum(4 * max(dice.lognormvariate(5.5, 0.5) for _ in range(4)) for _ in range(4))
        seconds = (0.2 + padded / 2000) * (100 if step == hiccup_at else 1)
        now += seconds
        points.append(StepPoint(step, now, None, 1.0, 1e-4, 1.0, None, None, seconds, None))
    return points


def snapshot(steps: list[StepPoint]) -> Snapshot:
    state = RunState(status="training", total_steps=STEPS)
    return Snapshot("run", Path("run"), 0.0, state, True, "", Steps.of(steps), (), (), (), (), {}, {}, {}, (), ())


def off(seed: int, after: int = AFTER, hiccup_at: int | None = None) -> float:
    steps = timeline(seed, hiccup_at=hiccup_at)
    told = seconds_left(snapshot(steps[:after]))
    assert told is not None
    return told / (steps[-1].t - steps[after - 1].t) - 1


def test_after_twenty_steps_it_is_within_eight_percent() -> None:
    errors = sorted(off(seed) for seed in range(100))
    assert sum(abs(error) <= 0.08 for error in errors) >= 90
    assert abs(sum(errors) / len(errors)) < 0.02


def test_one_hiccup_does_not_spoil_it() -> None:
    assert all(abs(off(seed, hiccup_at=7)) < 0.35 for seed in range(20))


def test_it_is_not_told_after_two_steps() -> None:
    assert seconds_left(snapshot(timeline(0)[:2])) is None


def test_the_range_holds_what_comes_nine_times_in_ten() -> None:
    inside = 0
    for seed in range(200):
        steps = timeline(seed)
        told = time_left(snapshot(steps[:AFTER]))
        assert told is not None
        assert told.low < told.seconds < told.high
        inside += told.low <= steps[-1].t - steps[AFTER - 1].t <= told.high
    assert 170 <= inside <= 199
