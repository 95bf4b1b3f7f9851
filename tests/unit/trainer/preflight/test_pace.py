"""What is said of a worst step that was measured, and what its pace makes of every later time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recommender.config.edit import apply
from recommender.config.schema import FinetuneConfig
from recommender.estimate.estimate import estimate
from recommender.memory.measured import FILE, Measurement
from recommender.memory.stacks import find_stack
from recommender.memory.workload import resolve_workload
from recommender.plan.document import launch_document
from recommender.plan.recommend import recommend
from recommender.time.clock import worst_step_seconds
from recommender.time.types import TimeEstimate
from recommender.warning import texts
from tests.unit.plan.facts import CPU, SMOLLM, rows
from trainer.preflight.checks import Subject
from trainer.preflight.measurements import keep
from trainer.preflight.pace import out_of_bounds, times
from tui.screens.check.text import confirmation

ROWS = rows(241, 120)
PLAN = recommend(SMOLLM, CPU, ROWS)
NEIGHBOUR = apply(PLAN.config, {"lora.r": 32})


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def worst() -> float:
    seconds = worst_step_seconds(resolve_workload(PLAN.config, SMOLLM, CPU, ROWS, find_stack("trl")))
    assert seconds is not None
    return seconds


def measured(factor: float, monkeypatch: pytest.MonkeyPatch, load: float = 0.1) -> Measurement:
    """Keep a worst step that took `factor` times as long as planned, and exactly the memory that was predicted."""
    monkeypatch.setattr("recommender.memory.measured.load_now", lambda: load)
    event = {"process_bytes": PLAN.estimate.peak.process_bytes, "step_seconds": factor * worst()}
    one = keep(PLAN.config, SMOLLM, CPU, ROWS, event)
    assert one is not None
    return one


def time_of(config: FinetuneConfig = PLAN.config, **options: Any) -> TimeEstimate:
    time = estimate(config, SMOLLM, CPU, ROWS, **options).time
    assert time is not None and time.total_seconds is not None
    return time


def planned_seconds() -> float:
    """Of the run, as planned before anything was measured."""
    time = PLAN.estimate.time
    assert time is not None and time.total_seconds
    return time.total_seconds


def ratio(config: FinetuneConfig = PLAN.config) -> float:
    """Run time by what was measured, over the formula's; without checkpoints, for a disk is not slower for it."""
    after, before = time_of(config), time_of(config, known=())
    assert 0 < before.saving_seconds == after.saving_seconds
    return ((after.total_seconds or 0) - after.saving_seconds) / ((before.total_seconds or 0) - before.saving_seconds)


def test_a_step_that_took_20_times_as_long_makes_the_plan_20_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time_of()
    measured(20, monkeypatch)
    after = time_of()
    assert (before.basis, after.basis) == ("formula", "measured")
    assert after.step_seconds == pytest.approx(20 * before.step_seconds)
    assert after.tokens_per_second == pytest.approx(before.tokens_per_second / 20)
    assert ratio() == pytest.approx(20)
    assert after.low_seconds and after.high_seconds and after.total_seconds
    assert after.low_seconds < after.total_seconds < after.high_seconds
    assert after.high_seconds / after.low_seconds < (before.high_seconds or 0) / (before.low_seconds or 1)


def test_it_is_in_the_document_of_estimate_and_of_a_launch_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(20, monkeypatch, load=6.2)
    found = estimate(PLAN.config, SMOLLM, CPU, ROWS).document()
    assert found["time"]["basis"] == "measured"
    [note] = [note for note in found["notes"] if note.startswith("Time")]
    assert "20 times slower than the formula's" in note
    assert "other programs kept the processor busy then (load 6.2 a core)" in note
    launched = launch_document(PLAN.config, SMOLLM, CPU, ROWS)
    assert launched["estimate"]["time"] == found["time"]


@pytest.mark.parametrize(("factor", "said"), [(20, "20 times slower"), (0.25, "4 times faster"), (1.1, ""), (0.9, "")])
def test_the_reason_is_given_where_there_is_a_difference(
    factor: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(factor, monkeypatch)
    notes = [note for note in texts(estimate(PLAN.config, SMOLLM, CPU, ROWS).notes) if note.startswith("Time")]
    assert bool(notes) is bool(said) and all(said in note and "busy" not in note for note in notes)


def test_the_last_measurement_is_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that was busy and is no longer."""
    measured(20, monkeypatch)
    measured(1, monkeypatch)
    assert ratio() == pytest.approx(1)


def test_a_neighbour_goes_part_of_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time_of(NEIGHBOUR)
    measured(2, monkeypatch)
    assert 1.5 < ratio(NEIGHBOUR) < 2
    after = time_of(NEIGHBOUR)
    assert after.basis == "formula"
    assert (after.high_seconds or 0) / (after.low_seconds or 1) < (before.high_seconds or 0) / (before.low_seconds or 1)


@pytest.mark.parametrize("changes", [{"training.gradient_checkpointing": True}, {"data.max_length": 16}])
def test_another_recipe_or_a_plan_of_another_size_keeps_its_time(
    changes: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = apply(PLAN.config, changes)
    assert other != PLAN.config
    measured(20, monkeypatch)
    assert ratio(other) == 1


def test_a_line_of_an_earlier_version_has_memory_and_no_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(20, monkeypatch)
    path = tmp_path / "lora-wizard" / FILE
    line = path.read_text().replace('"predicted_seconds"', '"older"')
    path.write_text(line)
    assert estimate(PLAN.config, SMOLLM, CPU, ROWS).basis == "measured"
    assert ratio() == 1


def test_the_start_question_takes_the_measured_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject(PLAN.config, CPU, SMOLLM, _Rows(), PLAN.estimate, tmp_path, lambda: False)  # type: ignore[arg-type]  # of a data set only its profile is read
    assert not subject.after
    # A state folder that cannot be written: what was measured counts all the same.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    for factor, told in ((20, True), (1, False)):
        subject.take({"process_bytes": PLAN.estimate.peak.process_bytes, "step_seconds": factor * worst()})
        taken = subject.run_seconds
        assert taken is not None and taken / planned_seconds() == pytest.approx(factor, rel=0.1)
        assert ("at the measured pace; planned " in confirmation(PLAN, taken)) is told
        assert bool(times(PLAN.estimate, taken)) is told


class _Rows:
    """A data set by its profile."""

    profile = ROWS


def test_what_was_measured_outside_of_the_plan_is_told() -> None:
    peak = PLAN.estimate.peak
    assert out_of_bounds(PLAN.estimate, None, {"process_bytes": peak.process_bytes}) == ""
    assert "the plan says" in out_of_bounds(PLAN.estimate, None, {"process_bytes": peak.high_bytes + 2**20})
    assert "the plan says" in out_of_bounds(PLAN.estimate, None, {"process_bytes": peak.low_bytes - 2**20})
    assert PLAN.estimate.time is not None and PLAN.estimate.time.high_seconds is not None
    late = PLAN.estimate.time.high_seconds * 2
    assert "slower than planned" in out_of_bounds(PLAN.estimate, late, {"process_bytes": peak.process_bytes})


def test_a_simulated_machine_learns_no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(20, monkeypatch)
    before = estimate(PLAN.config, SMOLLM, replace(CPU, simulated=True), ROWS, known=()).time
    assert estimate(PLAN.config, SMOLLM, replace(CPU, simulated=True), ROWS).time == before
