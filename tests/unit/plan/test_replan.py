"""Edits on the Plan screen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from presets.errors import InputError
from presets.recipes import load_recipes
from recommender.config.edit import diff, value_of
from recommender.config.schema import Goal
from recommender.machine.facts import Device
from recommender.plan.alternatives import alternatives
from recommender.plan.document import document
from recommender.plan.edit import edited_values, replan, with_user_values
from recommender.plan.plain import plain
from recommender.plan.recommend import recommend
from recommender.plan.request import GOALS
from recommender.plan.types import Plan
from tests.fixtures.counting import count_estimates
from tests.unit.plan.facts import CARDS, CPU, EXAMPLE, LLAMA_8B, RTX_4090, SMOLLM, T4


@pytest.fixture(scope="module")
def plan() -> Plan:
    return recommend(LLAMA_8B, RTX_4090, EXAMPLE)


def test_an_edit_is_priced_and_marked(plan: Plan) -> None:
    edited = replan(plan, {"lora.r": 128})
    assert edited.config.lora.r == 128
    assert edited.estimate.parts["adapter"] > plan.estimate.parts["adapter"]
    assert edited.overrides == {"lora.r": 128}
    assert edited.reasons["lora.r"].why.startswith("You set this; recommended was 16, and why: ")
    assert edited.recommended["lora.r"] == 16
    assert plan.config.lora.r == 16


def test_what_depends_on_it_follows(plan: Plan) -> None:
    assert replan(plan, {"per_device_train_batch_size": 8}).config.training.gradient_accumulation_steps == 2
    sixteen = replan(plan, {"method": "lora"})
    assert sixteen.config.quantization.bits is None
    assert (plan.config.training.max_grad_norm, sixteen.config.training.max_grad_norm) == (0.3, 1.0)
    assert replan(plan, {"lora_alpha": 128}).config.training.learning_rate < plan.config.training.learning_rate
    assert replan(plan, {"lora_alpha": 128}).reasons["training.learning_rate"].confidence == "low"
    assert replan(plan, {"use_rslora": True}).config.lora.lora_alpha == 8


def test_the_persons_own_values_do_not_follow(plan: Plan) -> None:
    edited = replan(replan(plan, {"learning_rate": 1e-4}), {"lora_alpha": 128})
    assert edited.config.training.learning_rate == 1e-4


def test_backspace_brings_the_recommended_value_back(plan: Plan) -> None:
    edited = replan(plan, {"method": "lora", "max_length": 256, "learning_rate": 1e-3, "r": 64})
    back = replan(edited, {}, without=["method", "max_length", "learning_rate", "r"])
    assert back.config == plan.config
    assert back.estimate == plan.estimate
    assert back.reasons == plan.reasons
    assert back.overrides == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"data.eval": ["held.jsonl"]},
        {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
        {"rope_scaling.rope_type": "yarn", "rope_scaling.factor": 2.0},
        {"data.columns.output": "answer"},
        {"run.name": "mine"},
    ],
    ids=str,
)
def test_values_without_a_rule_stay_and_go_back_too(plan: Plan, changes: dict[str, object]) -> None:
    edited = replan(replan(plan, changes), {"seed": 7})
    for key, value in changes.items():
        assert diff(plan.config, edited.config)
        assert value == plain(value_of(edited.config, key)) if "columns" not in key else edited.config.data.columns
    assert json.dumps(document(edited, None))
    assert replan(edited, {}, without=[*changes, "seed"]).config == plan.config


def test_edits_add_up(plan: Plan) -> None:
    edited = replan(replan(replan(plan, {"r": 32}), {"max_length": 512}), {"seed": 7})
    assert (edited.config.lora.r, edited.config.data.max_length, edited.config.training.seed) == (32, 512, 7)
    assert set(edited.overrides) == {"lora.r", "data.max_length", "training.seed"}


def test_when_it_no_longer_fits_there_are_remedies_that_can_be_applied(plan: Plan) -> None:
    edited = replan(plan, {"method": "lora", "max_length": 8192, "per_device_train_batch_size": 16})
    assert edited.estimate.fits == "no"
    assert edited.remedies
    applied = replan(edited, edited.remedies[0].changes)
    saved = edited.estimate.peak.process_bytes - applied.estimate.peak.process_bytes
    assert saved == edited.remedies[0].saves_bytes


def test_a_bad_edit_changes_nothing(plan: Plan) -> None:
    with pytest.raises(InputError, match="at least 1"):
        replan(plan, {"lora.r": 0})
    with pytest.raises(InputError, match="no bf16"):
        replan(recommend(LLAMA_8B, T4, EXAMPLE), {"precision": "bf16"})


@pytest.mark.parametrize("recipe", load_recipes(), ids=lambda recipe: recipe.name)
def test_every_recipe_can_be_applied_to_a_plan(plan: Plan, recipe: object) -> None:
    from presets.recipes import Recipe

    assert isinstance(recipe, Recipe)
    applied = replan(plan, recipe.changes)
    assert set(recipe.changes) <= set(applied.overrides)
    assert all(value_of(applied.config, key) == value for key, value in recipe.changes.items())


@pytest.mark.slow
@pytest.mark.parametrize("device", [*CARDS, CPU], ids=lambda device: device.name)
@pytest.mark.parametrize("goal", GOALS)
def test_alternatives_worked_out_again_are_those_of_a_new_plan(device: Device, goal: Goal) -> None:
    fresh = recommend(SMOLLM, device, EXAMPLE, goal=goal)
    assert alternatives(fresh) == fresh.alternatives


@pytest.mark.parametrize(
    "changes",
    [
        {"training.num_train_epochs": 30},
        {"training.per_device_train_batch_size": 1, "lora.r": 64},
        {"method": "lora"},
        {"data.max_length": 256},
    ],
    ids=repr,
)
def test_alternatives_of_an_edited_plan_are_priced_with_the_edits(plan: Plan, changes: dict[str, object]) -> None:
    edited = replan(plan, changes)
    assert edited.alternatives == ()
    for one in alternatives(edited):
        again = recommend(LLAMA_8B, RTX_4090, EXAMPLE, goal=one.goal, overrides=edited.overrides)
        assert (one.config, one.estimate) == (again.config, again.estimate)
    assert [one["goal"] for one in document(edited, None)["alternatives"]] == [g for g in GOALS if g != plan.goal]


def test_an_edit_costs_few_estimates(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is answered within a frame, which benchmarks.search_speed measures."""
    asked = count_estimates(monkeypatch)
    for rank in (8, 32, 48, 64, 96):
        asked.clear()
        replan(plan, {"lora.r": rank})
        assert 1 <= len(asked) <= 20
        assert len({str(config) for config in asked}) == len(asked), "none is worked out twice"


def test_values_after_an_edit_are_those_that_the_plan_will_have(plan: Plan) -> None:
    values: dict[str, Any] = {}
    edits: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"lora.r": 64, "method": "lora"}, ()),
        ({"quantization.bits": 4}, ("lora.r",)),
        ({"rope_scaling.factor": 2.0, "rope_scaling.rope_type": "yarn"}, ()),
        ({}, ("method",)),
    ]
    for changes, without in edits:
        after = edited_values(plan, values, changes, without)
        assert after == replan(with_user_values(plan, values), changes, without).overrides
        values = after
    assert "quantization.bits" not in values and "lora.r" not in values


@pytest.mark.parametrize("changes", [{"lora.r": 0}, {"lora.rank": 8}, {"training.optim": "fastest"}])
def test_values_that_no_plan_takes_are_refused_unpriced(plan: Plan, changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        edited_values(plan, {"training.seed": 7}, changes)


def test_a_plan_shows_values_that_it_is_not_priced_with(plan: Plan) -> None:
    shown = with_user_values(plan, {"lora.r": 64})
    assert (shown.config.lora.r, shown.overrides) == (64, {"lora.r": 64})
    assert shown.estimate is plan.estimate
    assert with_user_values(shown, {}).config == plan.config
    assert with_user_values(plan, {}) is plan
