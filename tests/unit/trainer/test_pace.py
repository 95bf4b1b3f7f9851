"""What is said of a worst step that was measured."""

from __future__ import annotations

from recommender.plan.recommend import recommend
from tests.unit.plan.facts import CPU, SMOLLM, rows
from trainer.preflight.pace import out_of_bounds, planned_worst_step, run_seconds, times
from tui.screens.check.text import confirmation

PLAN = recommend(SMOLLM, CPU, rows(241, 120))


def test_the_start_question_takes_the_measured_pace() -> None:
    assert PLAN.data is not None and PLAN.estimate.time is not None and PLAN.estimate.time.total_seconds is not None
    worst = planned_worst_step(PLAN.config, PLAN.model, PLAN.device, PLAN.data)
    assert worst is not None and worst > PLAN.estimate.time.step_seconds, "its rows are the longest"
    slow = run_seconds(PLAN.estimate, worst, {"step_seconds": 20 * worst})
    assert slow is not None
    saving = PLAN.estimate.time.saving_seconds
    assert 0 < saving < PLAN.estimate.time.total_seconds
    assert round((slow - saving) / (PLAN.estimate.time.total_seconds - saving), 6) == 20, "a disk is not slower for it"
    assert "at the measured pace; planned " in confirmation(PLAN, slow)
    as_planned = run_seconds(PLAN.estimate, worst, {"step_seconds": worst})
    assert times(PLAN.estimate, as_planned) == "" and "measured" not in confirmation(PLAN, as_planned)
    assert run_seconds(PLAN.estimate, worst, {}) is None


def test_what_was_measured_outside_of_the_plan_is_told() -> None:
    peak = PLAN.estimate.peak
    assert out_of_bounds(PLAN.estimate, None, {"process_bytes": peak.process_bytes}) == ""
    assert "the plan says" in out_of_bounds(PLAN.estimate, None, {"process_bytes": peak.high_bytes + 2**20})
    assert "the plan says" in out_of_bounds(PLAN.estimate, None, {"process_bytes": peak.low_bytes - 2**20})
    assert PLAN.estimate.time is not None and PLAN.estimate.time.high_seconds is not None
    late = PLAN.estimate.time.high_seconds * 2
    assert "slower than planned" in out_of_bounds(PLAN.estimate, late, {"process_bytes": peak.process_bytes})
