"""Edits of a plan while another is being worked out, or while it is out of date: the newest wins and none is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

import pytest

from presets.errors import InputError
from recommender.machine.devices import device_from_catalogue
from recommender.plan.types import Plan
from tests.functional.screens.made import MadeServices
from tests.functional.screens.seen import Seen, planned
from tui.screens.data.embeddings import toggle_embeddings
from tui.screens.plan.screen import PlanScreen
from tui.widgets.top_bar import Step
from tui.wizard.plan_service import PlanService, RealPlans
from tui.wizard.steps.plan import SAME_THREAD_SECONDS


@dataclass(frozen=True)
class HeldPlans(RealPlans):
    """What is worked out in a thread waits until it may end."""

    may_end: Event
    refuses: str
    """Key that is refused only when the plan is worked out."""

    def recommend(self, *args: Any, **options: Any) -> Plan:
        self.may_end.wait(20)
        return super().recommend(*args, **options)

    def replan(self, plan: Plan, changes: Mapping[str, Any], without: Iterable[str] = ()) -> Plan:
        if current_thread() is not main_thread():
            self.may_end.wait(20)
        if self.refuses in changes:
            raise InputError(f"{self.refuses} is refused at the end.")
        return super().replan(plan, changes, without)


@dataclass(frozen=True)
class Held(MadeServices):
    """A planning that is held back."""

    may_end: Event = field(default_factory=Event)
    refuses: str = ""

    @property
    def plans(self) -> PlanService:
        return HeldPlans(self.runs, self.may_end, self.refuses)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    services = Held(tmp_path / "runs")
    services.may_end.set()
    yield services
    services.may_end.set()


def screen_of(seen: Seen) -> PlanScreen:
    screen = seen.app.screen
    assert isinstance(screen, PlanScreen)
    return screen


def change_slowly(screen: PlanScreen, changes: Mapping[str, Any]) -> None:
    """Edit as where edits take long."""
    screen.wizard.flow.plan.replan_seconds = 2 * SAME_THREAD_SECONDS
    screen.edits.change(changes)
    assert screen.state.working


async def rests(seen: Seen) -> None:
    await seen.until(lambda: not seen.app.state.working and seen.app.state.settled)


def choose_another_card(seen: Seen, held: Held) -> None:
    """Another card, whose plan is not there yet."""
    held.may_end.clear()
    seen.app.flow.machine.choose(device_from_catalogue("T4"))
    assert seen.app.state.stale


def read_as_planned(seen: Seen, train_on: str) -> None:
    assert seen.plan.config.data.train_on == train_on
    assert seen.app.state.dataset is not None
    profile = seen.app.state.dataset.profile
    assert seen.plan.data is profile
    assert (profile.trained_tokens == profile.total_tokens) is (train_on == "all")


async def test_an_edit_of_a_stale_plan_reads_the_data_again(held: Held, rows: str) -> None:
    async with planned(held, [rows]) as seen:
        choose_another_card(seen, held)
        screen_of(seen).edits.change({"data.train_on": "all"})
        held.may_end.set()
        await rests(seen)
        assert seen.plan.device.name == "T4"
        read_as_planned(seen, "all")
        screen_of(seen).edits.change({}, ["data.train_on"])
        await rests(seen)
        read_as_planned(seen, "assistant")
        assert "data.train_on" not in seen.plan.overrides


async def test_an_edit_in_a_thread_reads_the_data_again(held: Held, rows: str) -> None:
    async with planned(held, [rows]) as seen:
        change_slowly(screen_of(seen), {"data.train_on": "all"})
        await seen.until(lambda: seen.plan.config.data.train_on == "all")
        await rests(seen)
        read_as_planned(seen, "all")


async def test_a_value_of_the_command_line_is_what_data_is_read_with(held: Held, rows: str) -> None:
    async with planned(held, [rows], state={"values": {"data.train_on": "all"}}) as seen:
        await rests(seen)
        read_as_planned(seen, "all")


async def test_what_the_data_screen_says_later_is_what_holds(held: Held, rows: str) -> None:
    async with planned(held, [rows]) as seen:
        screen_of(seen).edits.change({"data.train_on": "all"})
        await rests(seen)
        seen.app.flow.data.change(train_on="assistant")
        await rests(seen)
        read_as_planned(seen, "assistant")


async def test_the_goal_that_was_asked_for_outlives_an_edit(held: Held, rows: str) -> None:
    async with planned(held, [rows]) as seen:
        choose_another_card(seen, held)
        await seen.press("shift+tab", "right", "enter")
        await seen.sees("◉ fastest")
        screen_of(seen).edits.change({"training.seed": 7})
        held.may_end.set()
        await rests(seen)
        assert seen.plan.goal == seen.app.state.draft.goal == "fastest"
        assert seen.plan.config.training.seed == 7


async def test_edits_while_another_goal_is_planned_for_wait(held: Held, rows: str) -> None:
    async with planned(held, [rows]) as seen:
        screen, before = screen_of(seen), seen.plan
        held.may_end.clear()
        screen.windows.aim("fastest")
        screen.edits.change({"training.seed": 7, "lora.r": 64})
        screen.edits.change({"training.seed": 8})
        seen.app.flow.plan.edit({"data.max_length": 256})
        with pytest.raises(InputError):
            screen.edits.change({"lora.r": 0})
        assert seen.plan is before
        held.may_end.set()
        await seen.until(lambda: seen.plan.config.data.max_length == 256)
        await rests(seen)
        assert seen.plan.goal == "fastest"
        assert (seen.plan.config.training.seed, seen.plan.config.lora.r) == (8, 64)
        # Each is taken back by itself, also one of the Data screen.
        await seen.press("u")
        await rests(seen)
        assert seen.plan.config.data.max_length != 256 and seen.plan.config.training.seed == 8
        await seen.press("u")
        await rests(seen)
        assert seen.plan.config.training.seed == 7
        await seen.press("U", "U")
        await rests(seen)
        assert seen.plan.config.data.max_length == 256 and seen.plan.config.training.seed == 8


async def test_edits_while_an_edit_is_worked_out_wait_and_a_goal_does_too(held: Held, rows: str) -> None:
    async with planned(held, [rows]) as seen:
        screen = screen_of(seen)
        held.may_end.clear()
        change_slowly(screen, {"lora.r": 64})
        screen.windows.aim("fastest")
        screen.edits.change({"training.seed": 7})
        held.may_end.set()
        await seen.until(lambda: seen.plan.config.training.seed == 7)
        await rests(seen)
        assert seen.plan.goal == "fastest" and seen.plan.config.lora.r == 64


async def test_an_edit_that_waits_comes_before_one_of_a_stale_plan(held: Held, rows: str) -> None:
    async with planned(held, [rows]) as seen:
        screen = screen_of(seen)
        held.may_end.clear()
        screen.windows.aim("fastest")
        screen.edits.change({"training.seed": 7, "lora.r": 64})
        choose_another_card(seen, held)
        screen.edits.change({"training.seed": 8})
        held.may_end.set()
        await rests(seen)
        assert seen.plan.device.name == "T4" and seen.plan.goal == "fastest"
        assert (seen.plan.config.training.seed, seen.plan.config.lora.r) == (8, 64)


async def test_embeddings_that_are_switched_on_and_off_meanwhile_are_off(held: Held, rows: str) -> None:
    async with planned(held, [rows]) as seen:
        held.may_end.clear()
        screen_of(seen).windows.aim("fastest")
        toggle_embeddings(seen.app)
        toggle_embeddings(seen.app)
        held.may_end.set()
        await seen.until(lambda: seen.plan.goal == "fastest" and "lora.modules_to_save" in seen.plan.overrides)
        await rests(seen)
        assert not seen.plan.config.lora.modules_to_save


async def test_undo_takes_back_what_waits_and_what_is_worked_out(held: Held, rows: str) -> None:
    async with planned(held, [rows]) as seen:
        screen, before = screen_of(seen), seen.plan
        held.may_end.clear()
        screen.windows.aim("fastest")
        screen.edits.change({"training.seed": 7})
        await seen.press("u")
        assert Step.PLAN in seen.app.state.working
        await seen.press("u")
        assert Step.PLAN not in seen.app.state.working
        held.may_end.set()
        await seen.pilot.pause()
        assert seen.plan is before and seen.app.state.draft.goal == "balanced"


async def test_an_edit_that_cannot_be_leaves_those_that_wait(held: Held, rows: str) -> None:
    held = replace(held, refuses="lora.lora_dropout")
    async with planned(held, [rows]) as seen:
        screen = screen_of(seen)
        held.may_end.clear()
        change_slowly(screen, {"lora.lora_dropout": 0.1})
        screen.edits.change({"training.seed": 7})
        held.may_end.set()
        await seen.until(lambda: seen.plan.config.training.seed == 7)
        await rests(seen)
        assert seen.plan.config.lora.lora_dropout != 0.1
        await seen.sees("refused at the end")
        # What no plan takes is refused at once, where it was typed.
        with pytest.raises(InputError, match="nothing"):
            change_slowly(screen, {"lora.target_modules": ["nothing"]})
