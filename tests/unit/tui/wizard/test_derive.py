"""The plan of a draft follows from it: by a search, or from a plan that differs by the person's values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from recommender.plan.types import Plan
from tests.unit.plan.facts import RTX_4090, SMOLLM, T4
from tui.wizard.draft import Draft
from tui.wizard.plan_service import RealPlans
from tui.wizard.steps.derive import PlanInputs, derive


@dataclass(frozen=True)
class Counting(RealPlans):
    """The real planning, with what was asked of it."""

    asked: list[str] = field(default_factory=list)
    refused: str = ""
    """Key whose edits are refused."""

    def recommend(self, *args: Any, **options: Any) -> Plan:
        self.asked.append("search")
        if self.refused in options["overrides"]:
            raise InputError(f"{self.refused} is refused.")
        return super().recommend(*args, **options)

    def replan(self, plan: Plan, changes: Mapping[str, Any], without: Iterable[str] = ()) -> Plan:
        self.asked.append("replan")
        if self.refused in changes:
            raise InputError(f"{self.refused} is refused.")
        return super().replan(plan, changes, without)


@pytest.fixture
def services(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


@pytest.fixture
def draft() -> Draft:
    return Draft(device=RTX_4090, model=SMOLLM, model_name="smollm", values={"training.seed": 3})


@pytest.fixture
def base(services: Counting, draft: Draft) -> Plan:
    ((made, plan),) = derive(services, PlanInputs(draft, None, None)).plans
    assert made is draft and services.asked == ["search"]
    services.asked.clear()
    return plan


def test_a_plan_has_the_drafts_values_device_and_goal(base: Plan) -> None:
    assert base.overrides == {"training.seed": 3}
    assert (base.device, base.model, base.goal) == (RTX_4090, SMOLLM, "balanced")


def test_other_values_take_no_search(services: Counting, base: Plan, draft: Draft) -> None:
    edited = draft.with_values({"lora.r": 64})
    ((_, plan),) = derive(services, PlanInputs(edited, None, base)).plans
    assert services.asked == ["replan"]
    assert plan.overrides == {"lora.r": 64} and plan.config.training.seed != 3
    # Back again it is the plan that was searched for.
    ((_, again),) = derive(services, PlanInputs(draft, None, plan)).plans
    assert again.config == base.config and again.estimate == base.estimate


def test_another_goal_and_another_device_take_one_each(services: Counting, base: Plan, draft: Draft) -> None:
    ((_, fast),) = derive(services, PlanInputs(replace(draft, goal="fastest"), None, base)).plans
    ((_, moved),) = derive(services, PlanInputs(replace(draft, device=T4), None, None)).plans
    assert services.asked == ["search", "search"]
    assert fast.goal == "fastest" and moved.device == T4
    assert fast.config.training.seed == moved.config.training.seed == 3


def test_without_a_plan_to_keep_edits_on_a_refusal_is_raised(tmp_path: Path, draft: Draft) -> None:
    refusing = Counting(tmp_path, refused="training.seed")
    with pytest.raises(InputError, match=r"training\.seed is refused"):
        derive(refusing, PlanInputs(draft, None, None))


@pytest.mark.parametrize("goal", ["balanced", "fastest"])
def test_of_several_edits_only_the_refused_one_is_left_out(tmp_path: Path, base: Plan, draft: Draft, goal: Any) -> None:
    refusing = Counting(tmp_path, refused="lora.lora_dropout")
    first = replace(draft.with_values({**draft.values, "lora.lora_dropout": 0.1}), goal=goal)
    second = first.with_values({**first.values, "lora.r": 64})
    third = second.with_values({key: value for key, value in second.values.items() if key != "training.seed"})
    derived = derive(refusing, PlanInputs(third, None, base, [first, second]))
    assert derived.error is not None and "lora_dropout" in derived.error.message
    assert [made.values for made, _ in derived.plans] == [{"training.seed": 3, "lora.r": 64}, {"lora.r": 64}]
    assert all(made.goal == plan.goal == base.goal for made, plan in derived.plans)
    assert all(made.values == plan.overrides for made, plan in derived.plans)


def test_where_the_only_edit_is_refused_nothing_is_made(tmp_path: Path, base: Plan, draft: Draft) -> None:
    refusing = Counting(tmp_path, refused="lora.r")
    derived = derive(refusing, PlanInputs(draft.with_values({"lora.r": 64}), None, base))
    assert not derived.plans and derived.error is not None
