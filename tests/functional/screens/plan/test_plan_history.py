"""The draft on the screens: undo and redo through all that was set, and work only where something follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from recommender.data.dataset import DataSet
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Machine
from recommender.plan.types import Plan
from tests.functional.screens.made import MadeServices, gpu, machine
from tests.functional.screens.plan.on_plan import go_to
from tests.functional.screens.seen import NARROW, WIDE, Seen, planned
from tui.screens.plan.screen import PlanScreen
from tui.wizard.plan_service import PlanService, RealPlans


@dataclass(frozen=True)
class WatchedPlans(RealPlans):
    """Counts searches, each of which waits until it may end."""

    searches: list[str]
    may_end: Event

    def recommend(self, *args: Any, **options: Any) -> Plan:
        self.may_end.wait(20)
        self.searches.append(options["goal"])
        return super().recommend(*args, **options)


@dataclass(frozen=True)
class Watched(MadeServices):
    """Counts searches and readings of rows."""

    searches: list[str] = field(default_factory=list)
    readings: list[Any] = field(default_factory=list)
    free: list[float] = field(default_factory=lambda: [22.9])
    """GiB that are free on the card."""
    may_end: Event = field(default_factory=Event)

    def probe(self) -> Machine:
        return machine(gpu(free=self.free[0]))

    @property
    def plans(self) -> PlanService:
        return WatchedPlans(self.runs, self.searches, self.may_end)

    def profile(self, data: Any, *rest: Any) -> DataSet:
        self.readings.append(data)
        return super().profile(data, *rest)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    services = Watched(tmp_path / "runs")
    services.may_end.set()
    return services


def change(seen: Seen, key: str, value: Any) -> None:
    screen = seen.app.screen
    assert isinstance(screen, PlanScreen)
    screen.edits.change({key: value})


async def changed(seen: Seen, key: str, value: Any) -> None:
    """Edit, and wait for the plan."""
    change(seen, key, value)
    await rests(seen)


async def rests(seen: Seen) -> None:
    await seen.until(lambda: not seen.app.state.working and seen.app.state.settled)


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_undo_and_redo_bring_the_very_same_plans_back(watched: Watched, rows: str, size: tuple[int, int]) -> None:
    async with planned(watched, [rows], size=size) as seen:
        plans = [seen.plan]
        for rank in (32, 64):
            await changed(seen, "lora.r", rank)
            plans.append(seen.plan)
        assert "U redo" not in seen.text
        for expected in (plans[1], plans[0]):
            await seen.press("u")
            assert seen.plan is expected
        for expected in (plans[1], plans[2]):
            await seen.press("U")
            assert seen.plan is expected
        await seen.press("u")
        await changed(seen, "training.seed", 7)
        await seen.press("U")
        assert seen.plan.config.training.seed == 7 and seen.plan.config.lora.r == 32
        assert watched.searches == ["balanced"]


async def test_the_keys_of_undo_and_redo_are_offered_where_they_do_something(watched: Watched, rows: str) -> None:
    async with planned(watched, [rows]) as seen:
        assert not {"u undo", "U redo"} & {key for key in ("u undo", "U redo") if key in seen.lines[-1]}
        change(seen, "lora.r", 64)
        await seen.until(lambda: "u undo" in seen.lines[-1] and "U redo" not in seen.lines[-1])
        await seen.press("u")
        await seen.until(lambda: "u undo" not in seen.lines[-1] and "U redo" in seen.lines[-1])


async def test_another_goal_is_shown_at_once_and_gone_back_to_without_a_search(watched: Watched, rows: str) -> None:
    async with planned(watched, [rows]) as seen:
        before = seen.plan
        watched.may_end.clear()
        await seen.press("shift+tab", "right", "enter")
        await seen.sees("◉ fastest")
        assert seen.plan is before
        watched.may_end.set()
        await rests(seen)
        fast = seen.plan
        assert fast.goal == "fastest" and watched.searches == ["balanced", "fastest"]
        for key, plan, goal in (("u", before, "◉ balanced"), ("U", fast, "◉ fastest")):
            await seen.press(key)
            assert seen.plan is plan
            await seen.sees(goal)
        assert watched.searches == ["balanced", "fastest"]


async def test_edits_are_undone_on_the_device_as_it_is_now(watched: Watched, rows: str) -> None:
    async with planned(watched, [rows]) as seen:
        await changed(seen, "lora.r", 64)
        watched.free[0] = 9.0
        await seen.press("f5")
        await seen.until(lambda: seen.app.state.device != seen.plan.device or len(watched.searches) == 2)
        await rests(seen)
        assert seen.plan.config.lora.r == 64
        await seen.press("u")
        await rests(seen)
        assert "lora.r" not in seen.plan.overrides
        assert seen.plan.device == seen.app.state.device and seen.plan.estimate.free_bytes < 10 * 2**30


async def test_an_edit_by_which_rows_are_read_is_undone_with_them(watched: Watched, rows: str) -> None:
    async with planned(watched, [rows]) as seen:
        change(seen, "data.train_on", "all")
        await seen.sees("out of date: for other data")
        await rests(seen)
        profile = seen.plan.data
        assert profile is not None and profile.trained_tokens == profile.total_tokens
        await seen.press("u")
        await rests(seen)
        profile = seen.plan.data
        assert profile is not None and profile.trained_tokens < profile.total_tokens
        assert "data.train_on" not in seen.plan.overrides and len(watched.readings) == 3


async def test_an_edit_of_a_stale_plan_is_undone_before_its_plan_is_there(watched: Watched, rows: str) -> None:
    async with planned(watched, [rows]) as seen:
        watched.may_end.clear()
        seen.app.flow.machine.choose(device_from_catalogue("T4"))
        change(seen, "training.seed", 7)
        assert seen.plan.config.training.seed == 7 and seen.app.state.stale
        await seen.press("u")
        assert seen.plan.config.training.seed != 7 and seen.app.state.stale
        watched.may_end.set()
        await rests(seen)
        assert seen.plan.device.name == "T4" and not seen.plan.overrides


async def test_a_device_that_is_chosen_again_has_its_plan_still(watched: Watched, rows: str) -> None:
    async with planned(watched, [rows]) as seen:
        before, device = seen.plan, seen.plan.device
        await seen.press("1")
        seen.app.flow.machine.choose(device_from_catalogue("T4"))
        seen.app.flow.machine.choose(device)
        await seen.press("4")
        assert seen.plan is before and seen.app.state.settled
        assert watched.searches == ["balanced"]


async def test_a_length_of_the_data_screen_is_undone_on_the_plan_screen(watched: Watched, rows: str) -> None:
    async with planned(watched, [rows]) as seen:
        length = seen.plan.config.data.max_length
        await seen.press("3", "+", "+", "4")
        await rests(seen)
        assert seen.plan.config.data.max_length > length
        await go_to(seen, "max_length")
        await seen.press("u", "u")
        await rests(seen)
        assert seen.plan.config.data.max_length == length


async def test_rows_are_read_once_with_the_values_of_the_command_line(watched: Watched, rows: str) -> None:
    async with planned(watched, [rows], state={"values": {"data.train_on": "all"}}) as seen:
        await rests(seen)
        assert [data["train_on"] for data in watched.readings] == ["all"]


async def test_a_value_of_the_command_line_that_no_row_is_read_with_is_refused_in_words(
    watched: Watched, rows: str
) -> None:
    from tests.functional.screens.seen import wizard
    from tui.widgets.top_bar import Step

    state = {"model_name": "llama-3.1-8b-instruct", "data": {"train": [rows]}, "values": {"data.train_on": "some"}}
    async with wizard(watched, start=Step.PLAN, state=state) as seen:
        await seen.sees("✗ step 3 Data did not work: data.train_on must be assistant or all, not 'some'.")
        assert "itself failed" not in seen.text
