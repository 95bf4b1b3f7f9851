"""Variants: what turning one on costs this plan, and what others measured, each with its conditions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from presets.variants import KEYS, load_variants
from recommender.config.edit import apply
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.synthetic import synthetic_profile
from recommender.estimate.estimate import estimate
from recommender.machine.devices import device_from_catalogue
from recommender.plan.edit import replan
from recommender.plan.recommend import recommend
from recommender.rules.base import by_how_much
from recommender.rules.reason import Reason
from recommender.rules.stages.sft import SFT_RULES
from recommender.units import count
from tests.unit.plan.facts import EXAMPLE, LLAMA_8B, RTX_4090, RTX_5090, model

QWEN = model("qwen2.5-7b-instruct")


def reason_of(key: str, **overrides: object) -> Reason:
    return recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides=overrides).reasons[key]


def test_dora_says_what_it_would_cost_in_memory_and_time_and_what_was_measured() -> None:
    reason = reason_of("lora.use_dora")
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE)
    on = replan(plan, {"use_dora": True})
    assert on.estimate.time is not None
    assert plan.estimate.time is not None
    slower = on.estimate.time.step_seconds / plan.estimate.time.step_seconds - 1
    assert slower > 0.05
    more = (on.estimate.peak.process_bytes - plan.estimate.peak.process_bytes) / 2**30
    assert reason.costs == f"On, it would take {more:.1f} GiB more and be {by_how_much(slower)}."
    assert any("slower" in line.value and "GSM8K" in line.value for line in reason.evidence)
    assert "than without" in on.reasons["lora.use_dora"].costs
    assert f"{more:.1f} GiB" in on.reasons["lora.use_dora"].costs


def test_doras_time_is_what_was_measured() -> None:
    """PEFT's method comparison of 2026-01 on an L40S: 716 s for 5 000 steps with DoRA, 607 without: 21.7 ms a step."""
    card = device_from_catalogue("L40S")
    data = synthetic_profile(20_000, 210)
    plain = apply(
        FinetuneConfig(model="m", method="lora"),
        {
            "r": 32,
            "target_modules": ["q_proj", "v_proj"],
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 1,
            "gradient_checkpointing": False,
            "max_length": 768,
        },
    )
    spec = model("llama-3.2-3b-instruct")
    seconds = [estimate(one, spec, card, data).time for one in (plain, apply(plain, {"use_dora": True}))]
    assert seconds[0] is not None
    assert seconds[1] is not None
    assert seconds[1].step_seconds - seconds[0].step_seconds == pytest.approx(0.0217, rel=0.3)


def test_every_choice_with_a_published_comparison_shows_it() -> None:
    reasons = recommend(LLAMA_8B, RTX_4090, EXAMPLE).reasons
    for key in KEYS:
        lines = load_variants()[key]
        assert lines
        assert [(line.label, line.value, line.note) for line in reasons[key].evidence] == [
            (line.what, line.found, line.by) for line in lines
        ]


def test_the_start_that_this_base_allows_is_priced() -> None:
    assert reason_of("lora.init_lora_weights").costs.startswith("loftq would take ")
    assert (
        recommend(LLAMA_8B, RTX_5090, EXAMPLE).reasons["lora.init_lora_weights"].costs.startswith("pissa would take ")
    )
    assert "olora" in reason_of("lora.init_lora_weights", bits=8).costs


def test_biases_are_counted_and_not_guessed() -> None:
    assert "no biases" in reason_of("lora.bias").why
    plan = recommend(QWEN, RTX_4090, EXAMPLE)
    wide = QWEN.num_heads * QWEN.head_dim + 2 * QWEN.num_kv_heads * QWEN.head_dim
    assert f"{count(wide * QWEN.num_layers)} biases" in plan.reasons["lora.bias"].why


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_dora", True),
        ("target_modules", ["q_proj", "v_proj"]),
        ("loraplus_lr_ratio", 16),
        ("rank_pattern", {"down_proj": 32}),
        ("modules_to_save", ["lm_head"]),
        ("init_lora_weights", "olora"),
    ],
)
def test_a_rate_for_an_adapter_that_was_not_swept_is_a_guess(key: str, value: object) -> None:
    plain = reason_of("training.learning_rate", num_train_epochs=1)
    other = reason_of("training.learning_rate", num_train_epochs=1, **{key: value})
    assert (plain.confidence, other.confidence) == ("medium", "low")
    assert f"differs in {key}" in other.why
    assert "differs" not in plain.why


def test_scale_is_decided_after_the_variant_that_divides_it() -> None:
    names = [rule.name for rule in SFT_RULES.rules]
    assert names.index("rank") < names.index("variants") < names.index("alpha")


def test_a_slice_of_a_gpu_and_memory_of_the_host_are_told_of() -> None:
    whole = recommend(LLAMA_8B, RTX_4090, EXAMPLE).reasons
    part = recommend(LLAMA_8B, replace(RTX_4090, name="A100 MIG 3g.20gb", mig=True), EXAMPLE).reasons
    shared = recommend(LLAMA_8B, replace(RTX_4090, name="GB10", unified_memory=True), EXAMPLE).reasons
    assert "A100 MIG 3g.20gb is a slice of a GPU (MIG): its memory is its own" in part["method"].why
    assert "in proportion to the slice" in part["training.per_device_train_batch_size"].why
    assert part["training.per_device_train_batch_size"].confidence == "low"
    assert "GB10's memory is the host's" in shared["method"].why
    assert "MIG" not in whole["method"].why + whole["training.per_device_train_batch_size"].why
    assert "host's" not in whole["method"].why


def test_much_slower_is_told_in_times() -> None:
    assert (by_how_much(0.3), by_how_much(1.04), by_how_much(-0.2)) == (
        "about 30 % slower",
        "about 2.0 times as slow",
        "about 20 % faster",
    )
