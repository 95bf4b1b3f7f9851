"""The diagnosis names trouble with its evidence, and says nothing on healthy runs."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.functional.dashboard.made import MadeRun
from trainer.diagnosis.diagnose import Finding, diagnose
from trainer.history.reader import RunReader

Make = Callable[..., MadeRun]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("LORA_WIZARD_RUNS", str(tmp_path))

    def made(until: int = 200, **options: Any) -> MadeRun:
        run = MadeRun(tmp_path / "run", **options)
        run.begin()
        run.train(until)
        return run

    return made


def findings(made: MadeRun) -> Sequence[Finding]:
    return diagnose(RunReader(made.path, made.clock).poll())


def bad_steps(made: MadeRun, *losses: float) -> None:
    for loss in losses:
        made.say("step", 1.2, step=made.state.step + 1, loss=loss, learning_rate=2e-4, step_seconds=1.2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("until", [1, 5, 40, 200, 400])
def test_nothing_is_said_on_a_healthy_run(make: Make, until: int, seed: int) -> None:
    found = findings(make(until, seed=seed))
    assert [finding.level for finding in found] == ["ok"]
    assert "no trouble seen" in found[0].title


def test_learning_is_only_claimed_when_the_loss_has_fallen(make: Make) -> None:
    made = make(3)
    assert findings(made)[0].title == "no trouble seen"
    made.train(200)
    assert findings(made)[0].title == "learning; no trouble seen"


def test_not_a_number_is_named_with_the_step_that_it_began_at(make: Make) -> None:
    made = make()
    bad_steps(made, math.nan, math.inf)
    (finding,) = findings(made)
    assert (finding.level, finding.title) == ("bad", "the loss is not a number")
    assert "since step 201" in finding.evidence
    assert "0.0001" in finding.change


def test_a_single_step_that_was_not_a_number_and_came_back_is_no_trouble(make: Make) -> None:
    made = make()
    bad_steps(made, math.nan, 0.9)
    assert [finding.level for finding in findings(made)] == ["ok"]


def test_silence_of_a_live_process(make: Make) -> None:
    made = make()
    made.now += 31
    (finding,) = findings(made)
    assert (finding.level, finding.title) == ("caution", "no sign of life")


def test_a_late_step_is_named_while_the_heart_still_beats(make: Make) -> None:
    made = make()
    made.now += 59
    made.save()
    assert findings(made)[0].level == "ok"
    made.now += 10
    made.save()
    (finding,) = findings(made)
    assert finding.title.startswith("no step for 1 m")
    assert "1.2 s" in finding.evidence


def test_slow_steps_are_given_longer(make: Make) -> None:
    made = make(1)
    made.train(20, seconds=30.0)
    made.now += 300
    made.save()
    assert findings(made)[0].level == "ok"


def test_evaluating_is_not_silence(make: Make) -> None:
    made = make()
    made.say("status", status="evaluating")
    made.now += 600
    made.save()
    assert findings(made)[0].level == "ok"


def test_a_full_card(make: Make) -> None:
    made = make()
    made.say("device", memory_used=int(23.7 * 2**30), memory_total=24 * 2**30)
    (finding,) = findings(made)
    assert finding.title == "the card's memory is nearly full"
    assert "0.3 GiB of 24.0 GiB left" in finding.evidence


def test_a_run_whose_processes_are_gone(make: Make) -> None:
    made = make(alive=False)
    made.now += 31
    (finding,) = findings(made)
    assert (finding.level, finding.title) == ("bad", "the run died")
    assert "lora-wizard resume run" in finding.change


def test_a_failure_carries_its_own_remedy(make: Make) -> None:
    made = make()
    made.fail("out of memory", remedy="Halve the micro-batch.")
    (finding,) = findings(made)
    assert (finding.level, finding.evidence, finding.change) == ("bad", "out of memory", "Halve the micro-batch.")


def test_the_worst_comes_first(make: Make) -> None:
    made = make()
    bad_steps(made, math.nan)
    made.say("device", memory_used=int(23.9 * 2**30), memory_total=24 * 2**30)
    assert [finding.level for finding in findings(made)] == ["bad", "caution"]


@pytest.mark.parametrize("status", ["finished", "stopped"])
def test_after_a_good_end_nothing_is_wrong(make: Make, status: str) -> None:
    made = make(400)
    made.say("end", 1, status=status)
    made.now += 10_000
    assert findings(made)[0].title == f"{status}; no trouble seen"


@pytest.mark.parametrize("said", [{"cause": "disk_full"}, {}], ids=["by its cause", "by an older version's words"])
def test_a_full_disk_is_named_first_and_a_pause_that_was_asked_for_is_not(make: Make, said: dict[str, str]) -> None:
    made = make(200, shape=lambda step: 2.3 - 0.01 * step if step < 100 else 1.3 + 0.03 * (step - 100))
    assert findings(made)[0].title == "the loss is rising"
    why = "the disk of /runs/x has 12 MiB free and 171 MiB are needed"
    told = f"{why}; free some room and it goes on by itself"
    made.say("status", 0.0, status="paused", reason=told, **said)
    first = findings(made)[0]
    assert (first.level, first.title, first.evidence) == ("bad", "paused: the disk is full", f"{why}.")
    assert "goes on by itself" in first.change
    made.say("status", status="paused", reason="as asked; `lora-wizard continue` goes on")
    assert "disk" not in findings(made)[0].title
