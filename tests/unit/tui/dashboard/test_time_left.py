"""The time left, as told after 20 steps of runs whose rows are of unequal length, against what the rest takes."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from trainer.history.columns import Steps
from trainer.history.reader import EvalPoint, Snapshot, StepPoint
from trainer.run.state import RunState
from tui.dashboard.time_left import seconds_left, time_left

STEPS = 400
AFTER = 20
MEAN_TOKENS = 16 * math.exp(5.5 + 0.5**2 / 2)
"""Of a step of 16 lognormal rows."""


def timeline(seed: int, *, hiccup_at: int | None = None) -> list[StepPoint]:
    """Steps of 4 micro-batches of 4 lognormal rows, each padded to its longest; one step may hang."""
    dice = random.Random(seed)
    points, now, tokens = [], 0.0, 0
    for step in range(1, STEPS + 1):
        batches = [[dice.lognormvariate(5.5, 0.5) for _ in range(4)] for _ in range(4)]
        padded = sum(4 * max(batch) for batch in batches)
        tokens += round(sum(map(sum, batches)))
        seconds = (0.2 + padded / 2000) * (100 if step == hiccup_at else 1)
        now += seconds
        points.append(StepPoint(step, now, None, 1.0, 1e-4, 1.0, tokens, None, seconds, None))
    return points


def snapshot(steps: list[StepPoint], **start: object) -> Snapshot:
    state = RunState(status="training", total_steps=STEPS)
    return Snapshot("run", Path("run"), 0.0, state, True, "", Steps.of(steps), (), (), (), (), start, {}, {}, (), ())


def off(seed: int, after: int = AFTER, hiccup_at: int | None = None, **start: object) -> float:
    steps = timeline(seed, hiccup_at=hiccup_at)
    told = seconds_left(snapshot(steps[:after], **start))
    assert told is not None
    return told / (steps[-1].t - steps[after - 1].t) - 1


def test_after_twenty_steps_it_is_within_eight_percent() -> None:
    errors = sorted(off(seed) for seed in range(100))
    assert sum(abs(error) <= 0.08 for error in errors) >= 90
    assert abs(sum(errors) / len(errors)) < 0.02


@pytest.mark.slow
def test_the_tokens_of_the_run_make_it_surer() -> None:
    """Step times follow tokens: what is known of all rows corrects for the twenty steps' own."""
    guessed = sorted(abs(off(seed)) for seed in range(100))
    told = sorted(abs(off(seed, tokens_per_step=MEAN_TOKENS)) for seed in range(100))
    assert told[90] < guessed[90]
    assert sum(told) < 0.85 * sum(guessed)


def test_tokens_that_say_nothing_of_the_time_change_nothing() -> None:
    """Steps of equal length, and an expectation that nobody can believe."""
    steps = [StepPoint(n, n * 1.0, None, 1.0, 1e-4, 1.0, n * 100, None, 1.0, None) for n in range(1, 21)]
    plain = seconds_left(snapshot(steps))
    for told in (1e9, float("nan"), "many", None):
        assert seconds_left(snapshot(steps, tokens_per_step=told)) == plain


def test_one_hiccup_does_not_spoil_it() -> None:
    assert all(abs(off(seed, hiccup_at=7)) < 0.35 for seed in range(20))


def test_it_is_not_told_after_two_steps() -> None:
    assert seconds_left(snapshot(timeline(0)[:2])) is None


@pytest.mark.slow
def test_the_range_holds_what_comes_nine_times_in_ten() -> None:
    inside = 0
    for seed in range(200):
        steps = timeline(seed)
        told = time_left(snapshot(steps[:AFTER]))
        assert told is not None
        assert told.low < told.seconds < told.high
        inside += told.low <= steps[-1].t - steps[AFTER - 1].t <= told.high
    assert 170 <= inside <= 199


def test_evaluations_that_are_due_are_counted_before_the_first_of_them() -> None:
    """380 steps of a second; evaluations of 9 s with 1 s of questions and saves of 2 s every 40 steps, 10 to come."""
    steps = [StepPoint(n, 10.0 + n, None, 1.0, 1e-4, 1.0, None, None, 1.0, None) for n in range(1, 21)]
    start = {"eval_every": 40, "save_every": 40}
    run = replace(
        snapshot(steps, **start),
        evals=(EvalPoint(0, 9.0, 3.0, seconds=9.0),),
        preflight={"checkpoint_seconds": 2.0},
    )
    told = seconds_left(run)
    assert told == 500.0
    assert seconds_left(snapshot(steps)) == 380.0


def test_evaluations_take_what_they_took() -> None:
    """Two were seen, of 30 s each with their saves, one of them in the 60 steps before this one."""
    late = [n + 30.0 * ((n - 1) // 40) for n in range(1, 82)]
    steps = [StepPoint(n, t, None, 1.0, 1e-4, 1.0, None, None, 1.0, None) for n, t in enumerate(late, 1)]
    run = replace(snapshot(steps, eval_every=40, save_every=None), evals=(EvalPoint(0, -10.0, 3.0, seconds=9.0),))
    told = seconds_left(run)
    assert told == 560.0


def test_a_night_between_two_lives_is_no_evaluation() -> None:
    """Ten hours stood still: an evaluation counts at most five times what the first one took."""
    steps = [
        StepPoint(n, n + (36000.0 if n > 50 else 0.0), None, 1.0, 1e-4, 1.0, None, None, 1.0, None)
        for n in range(1, 101)
    ]
    run = replace(snapshot(steps, eval_every=40), evals=(EvalPoint(0, 0.0, 3.0, seconds=9.0),))
    told = seconds_left(run)
    assert told is not None
    assert told <= 300 + 8 * 45


def test_evaluations_of_unknown_length_take_their_share() -> None:
    """A resumed run has no evaluation before training: a tenth of the time so far went between the steps."""
    steps = [StepPoint(n, n * 1.1, None, 1.0, 1e-4, 1.0, None, None, 1.0, None) for n in range(1, 101)]
    assert seconds_left(snapshot(steps, eval_every=10, save_every=10)) == 330.0
