"""Values far from what is recommended are told, with the way back; an edit says what followed it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recommender.config.edit import with_values
from recommender.plan.checks.unusual import far_values
from recommender.plan.edit import replan
from recommender.plan.recommend import recommend
from recommender.rules.base import Rule
from recommender.rules.stages.sft import SFT_RULES
from recommender.warning import texts
from tests.unit.plan.facts import EXAMPLE, LLAMA_8B, RTX_4090
from tui.screens.plan.form import followed, followed_notes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 0.1}, "370 times what is recommended: expect the loss to diverge"),
        ({"learning_rate": 2.7e-3}, "10 times what is recommended"),
        ({"learning_rate": 2.6e-3}, ""),
        ({"learning_rate": 1e-6}, "1/270 of what is recommended"),
        ({"learning_rate": 2.8e-5}, ""),
        ({"num_train_epochs": 10}, "10 times what is recommended: expect the rows to be learnt by heart"),
        ({"num_train_epochs": 9}, ""),
        ({"num_train_epochs": 10, "max_steps": 100}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_what_is_far_from_recommended_is_told(changes: dict[str, Any], said: str) -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides=changes)
    told = " ".join(texts(far_values(plan.config, plan.model, plan.device, plan.data)))
    assert said in told if said else not told
    assert all(sentence in plan.warnings for sentence in far_values(plan.config, plan.model, plan.device, plan.data))
    if "learning_rate" in changes and said:
        assert "--set training.learning_rate=0.00027." in told


def test_an_edit_says_what_followed_it() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE)
    edited = replan(plan, {"max_steps": 10})
    moved = followed(plan, edited)
    assert "training.max_steps" not in moved
    assert moved["training.learning_rate"][0] == "2.7e-4"
    assert moved["training.warmup_steps"] == ("0.05", "0")
    assert followed_notes(edited, moved)["learning_rate"] == "← was 2.7e-4"
    assert followed_notes(edited, moved)["lr_scheduler / warmup"] == "← was cosine / 0.05", "as the row stood"
    assert followed(plan, replan(plan, {"seed": 7})) == {}
    assert followed(plan, recommend(LLAMA_8B, RTX_4090, EXAMPLE, goal="fastest")) == {}


def test_a_stage_with_a_rate_of_its_own_is_compared_with_that(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, key = recommend(LLAMA_8B, RTX_4090, EXAMPLE), "training.learning_rate"
    rest = plan.model, plan.device, plan.data
    own = Rule("rate", (key,), lambda _: {key: 1e-5}, lambda *_: {})
    rules = replace(SFT_RULES, rules=(own,))
    monkeypatch.setattr("recommender.rules.registry.stage_rules", lambda _: rules)
    assert list(far_values(with_values(plan.config, {key: 1e-5}), *rest)) == []
    (found,) = far_values(with_values(plan.config, {key: 2e-4}), *rest)
    assert found.code == "rate_far_above"
    assert "20 times" in found.said
