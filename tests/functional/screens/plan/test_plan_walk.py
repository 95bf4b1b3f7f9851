"""Random edits, undo and redo at any moment: the draft is what was set last, and the plan comes to be the draft's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from recommender.config.schema import Goal
from recommender.machine.devices import device_from_catalogue
from recommender.plan.request import GOALS
from tests.functional.screens.made import MadeServices, rtx_4090
from tests.functional.screens.seen import Seen, planned
from tui.wizard.steps.plan import SAME_THREAD_SECONDS

STEPS = 40
VALUES: dict[str, tuple[Any, ...]] = {
    "lora.r": (8, 32, 64),
    "training.seed": (1, 2, 3),
    "data.max_length": (256, 512),
    "data.train_on": ("all", "assistant"),
}
CARDS = ("RTX 4090", "T4", "A100 SXM 80GB")


@dataclass
class Expected:
    """What a person would expect: goals and values, before and after the present ones."""

    now: tuple[Goal, dict[str, Any]] = ("balanced", {})
    past: list[tuple[Goal, dict[str, Any]]] = field(default_factory=list)
    future: list[tuple[Goal, dict[str, Any]]] = field(default_factory=list)

    def edit(self, goal: Goal, values: dict[str, Any]) -> None:
        self.past.append(self.now)
        self.now, self.future = (goal, values), []

    def go(self, come_from: list[tuple[Goal, dict[str, Any]]], lead_to: list[tuple[Goal, dict[str, Any]]]) -> None:
        if come_from:
            lead_to.append(self.now)
            self.now = come_from.pop()

    def forget(self) -> None:
        self.past, self.future = [], []


def step(seen: Seen, expected: Expected, random: Random) -> None:
    """One thing that a person does."""
    plan, machine = seen.app.flow.plan, seen.app.flow.machine
    goal, values = expected.now
    # Now and then an edit takes long.
    plan.replan_seconds = random.choice((0.0, 2 * SAME_THREAD_SECONDS))
    match random.choice(("set", "set", "set", "drop", "goal", "undo", "undo", "redo", "device")):
        case "set":
            key = random.choice(list(VALUES))
            value = random.choice(VALUES[key])
            plan.edit({key: value})
            expected.edit(goal, {**values, key: value})
        case "drop" if values:
            key = random.choice(list(values))
            plan.edit({}, [key])
            expected.edit(goal, {other: value for other, value in values.items() if other != key})
        case "goal" if (other := random.choice(GOALS)) != goal:
            plan.aim(other)
            expected.edit(other, values)
        case "undo":
            plan.undo()
            expected.go(expected.past, expected.future)
        case "redo":
            plan.redo()
            expected.go(expected.future, expected.past)
        case "device":
            device = device_from_catalogue(random.choice(CARDS))
            if device != seen.app.state.device:
                expected.forget()
            machine.choose(device)


def holds(seen: Seen, expected: Expected) -> None:
    draft = seen.app.state.draft
    assert (draft.goal, dict(draft.values)) == expected.now
    assert len(seen.app.state.history.past) == len(expected.past)
    assert len(seen.app.state.history.future) == len(expected.future)


async def at_rest(seen: Seen, expected: Expected) -> None:
    await seen.until(lambda: not seen.app.state.working and seen.app.state.settled)
    holds(seen, expected)
    state, plan = seen.app.state, seen.plan
    goal, values = expected.now
    assert (plan.goal, dict(plan.overrides), plan.device) == (goal, values, state.device)
    assert state.dataset is not None and plan.data is state.dataset.profile
    assert (plan.data.trained_tokens == plan.data.total_tokens) is (values.get("data.train_on") == "all")
    # Edits one by one come to the plan that all of them at once make.
    again = seen.app.services.plans.replan(plan, {})
    assert again.config == plan.config and again.estimate == plan.estimate


@pytest.mark.parametrize("seed", range(2))
async def test_the_plan_comes_to_be_that_of_the_draft(tmp_path: Path, rows: str, seed: int) -> None:
    random, expected = Random(seed), Expected()
    services = MadeServices(tmp_path / "runs")
    async with planned(services, [rows]) as seen:
        assert seen.plan.device == rtx_4090(services)
        for _ in range(STEPS):
            step(seen, expected, random)
            holds(seen, expected)
            if random.random() < 0.2:
                await at_rest(seen, expected)
            elif random.random() < 0.5:
                await seen.pilot.pause()
        await at_rest(seen, expected)
        assert not seen.app.state.errors
