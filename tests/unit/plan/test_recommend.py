"""What is recommended: the examples that must come out right, and what holds for every plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from benchmarks.pairs import dominates, every, obeys
from presets.errors import InputError
from recommender.config.edit import flatten, value_of
from recommender.config.schema import Data, Goal
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.plan.recommend import recommend
from recommender.plan.request import GOALS, as_goal
from recommender.plan.search import Candidate
from recommender.plan.types import Plan
from recommender.units import gib, percent
from recommender.warning import codes
from tests.fixtures.counting import count_estimates
from tests.unit.plan.facts import (
    CARDS,
    CPU,
    EXAMPLE,
    GIB,
    LAPTOP,
    LLAMA_8B,
    RTX_3090,
    RTX_4090,
    RTX_5090,
    SMOLLM,
    T4,
    TINY_CARD,
    UNKNOWN_24,
    V100,
    rows,
)


@pytest.mark.parametrize("device", [RTX_3090, RTX_4090, UNKNOWN_24], ids=lambda device: device.name)
def test_an_8b_llama_on_a_24_gib_card(device: Device) -> None:
    plan = recommend(LLAMA_8B, device, EXAMPLE)
    config = plan.config
    assert (config.method, config.quantization.bits) == ("qlora", 4)
    assert (config.quantization.quant_type, config.quantization.double_quant) == ("nf4", True)
    assert (config.lora.r, config.lora.lora_alpha, config.lora.target_modules) == (16, 32, "all-linear")
    assert config.training.effective_batch_size == 16
    assert config.training.lr_scheduler_type == "cosine"
    assert config.training.precision == "bf16"
    assert config.training.learning_rate == 2.7e-4
    assert plan.estimate.fits == "yes"


def test_the_same_on_a_t4_is_fp16() -> None:
    plan = recommend(LLAMA_8B, T4, EXAMPLE)
    config = plan.config
    assert (config.method, config.quantization.bits, config.quantization.double_quant) == ("qlora", 4, True)
    assert (config.lora.r, config.lora.lora_alpha) == (16, 32)
    assert config.training.effective_batch_size == 16
    assert config.training.precision == "fp16"
    assert config.training.attn_implementation == "sdpa"
    assert plan.estimate.fits == "yes"


def test_16_bit_lora_from_32_gib_on_and_within_70_percent() -> None:
    plan = recommend(LLAMA_8B, RTX_5090, EXAMPLE)
    assert (plan.config.method, plan.config.quantization.bits) == ("lora", None)
    assert plan.estimate.peak.high_bytes <= 0.7 * plan.estimate.free_bytes


def test_what_is_rounded_for_room_leaves_room() -> None:
    """4 bits were once taken for room, and then took more memory than 16 bits need, in the same time."""
    data = rows(5_000, 400)
    plan = recommend(LLAMA_8B, RTX_4090, data)
    sixteen = recommend(LLAMA_8B, RTX_4090, data, overrides={"method": "lora"})
    assert plan.config.quantization.bits == 4
    assert plan.estimate.peak.high_bytes <= 0.7 * plan.estimate.free_bytes < sixteen.estimate.peak.high_bytes
    assert plan.estimate.peak.process_bytes < sixteen.estimate.peak.process_bytes
    why = plan.reasons["method"].why
    assert "beyond the 70 % that leave room" in why
    high, share = plan.estimate.peak.high_bytes, plan.estimate.peak.high_bytes / plan.estimate.free_bytes
    assert f"it needs up to {gib(high)}, {percent(share)}, and is about 26 % slower." in why


@pytest.mark.slow
@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("device", [*CARDS, TINY_CARD, CPU], ids=lambda device: device.name)
@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "llama-3.1-8b-instruct"])
def test_no_plan_is_worse_in_memory_time_and_quality_than_another(device: Device, name: str, goal: Goal) -> None:
    from tests.unit.plan.facts import model

    for data in (rows(300, 60), rows(5_000, 400)):
        plan = recommend(model(name), device, data, goal=goal)
        ours = Candidate(plan.config, plan.estimate)
        better = [one for one in every(plan) if dominates(one, ours)]
        assert plan.estimate.fits == "no" or not better, better[0].config


def test_fastest_does_not_round_for_nothing() -> None:
    """Within 1 % of the fastest, and with less memory, the base is not quantised."""
    plan = recommend(LLAMA_8B, device_from_catalogue("RTX 4090"), rows(5_000, 400), goal="fastest")
    assert plan.config.quantization.bits is None


@pytest.mark.parametrize("device", CARDS, ids=lambda device: device.name)
@pytest.mark.parametrize("name", ["llama-3.1-8b-instruct", "smollm2-135m-instruct", "qwen3-4b"])
def test_16_bit_lora_is_never_balanced_beyond_70_percent(device: Device, name: str) -> None:
    from tests.unit.plan.facts import model

    plan = recommend(model(name), device, EXAMPLE)
    if plan.config.method == "lora":
        assert plan.estimate.peak.high_bytes <= 0.7 * plan.estimate.free_bytes


@pytest.mark.parametrize("device", [T4, V100, TINY_CARD], ids=lambda device: device.name)
@pytest.mark.parametrize("goal", GOALS)
def test_no_bf16_before_ampere(device: Device, goal: Goal) -> None:
    plan = recommend(SMOLLM, device, EXAMPLE, goal=goal)
    assert plan.config.training.precision == "fp16"
    assert all(other.config.training.precision == "fp16" for other in plan.alternatives)
    with pytest.raises(InputError, match="no bf16"):
        recommend(SMOLLM, device, EXAMPLE, goal=goal, overrides={"precision": "bf16"})


def test_a_cpu_trains_lora_in_fp32() -> None:
    plan = recommend(SMOLLM, CPU, rows(241, 120))
    assert plan.config.method == "lora"
    assert plan.config.training.precision == "fp32"
    assert plan.config.training.optim == "adamw_torch_fused"
    assert not plan.config.training.activation_offloading
    assert plan.estimate.fits == "yes"


@pytest.mark.parametrize("device", [*CARDS, CPU], ids=lambda device: device.name)
def test_every_value_has_its_reason_and_its_value(device: Device) -> None:
    plan = recommend(LLAMA_8B, device, EXAMPLE)
    _holds_reasons(plan)


@pytest.mark.parametrize(
    "overrides",
    [{"method": "lora"}, {"r": 64, "lora_alpha": 16}, {"use_rslora": True}, {"method": "full"}, {"max_length": 4096}],
    ids=str,
)
def test_reasons_stand_for_the_persons_values_too(overrides: dict[str, Any]) -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides=overrides)
    _holds_reasons(plan)
    for key in plan.overrides:
        if key in plan.reasons:
            assert plan.reasons[key].why.startswith("You set this")


def _holds_reasons(plan: Plan) -> None:
    values = flatten(plan.config)
    wanted = {key for key in values if key.startswith(("lora.", "training.", "quantization."))}
    wanted |= {"method", "data.max_length", "data.packing", "data.train_on", "data.eval_fraction"}
    assert wanted <= set(plan.reasons)
    for key, reason in plan.reasons.items():
        assert reason.value == values[key], key
        assert len(reason.why) > 10, key
        assert reason.why.rstrip().endswith("."), key
        assert reason.source, key
        assert reason.confidence in ("high", "medium", "low")
        assert "None" not in reason.why, key
        assert "  " not in reason.why, key


@pytest.mark.slow
@pytest.mark.parametrize("device", [*CARDS, CPU], ids=lambda device: device.name)
@pytest.mark.parametrize("name", ["llama-3.1-8b-instruct", "smollm2-135m-instruct"])
def test_goals_keep_what_they_promise(device: Device, name: str) -> None:
    from tests.unit.plan.facts import model

    plans = {goal: recommend(model(name), device, EXAMPLE, goal=goal) for goal in GOALS}
    balanced = plans["balanced"]
    if balanced.estimate.fits != "yes":
        return
    assert all(plan.estimate.fits == "yes" for plan in plans.values())
    least = plans["smallest-memory"].estimate.peak.process_bytes
    assert all(least <= plan.estimate.peak.process_bytes for plan in plans.values())
    longest = plans["longest-context"].config.data.max_length
    assert all(longest >= plan.config.data.max_length for plan in plans.values())
    assert plans["best-quality"].config.lora.r >= balanced.config.lora.r
    fast, usual = plans["fastest"].estimate.time, balanced.estimate.time
    if fast and usual:
        assert fast.total_seconds is not None and usual.total_seconds is not None
        assert fast.total_seconds <= usual.total_seconds * 1.01


@pytest.mark.parametrize("device", CARDS, ids=lambda device: device.name)
def test_alternatives_are_the_plans_of_the_other_goals(device: Device) -> None:
    plan = recommend(LLAMA_8B, device, EXAMPLE)
    assert {one.goal for one in plan.alternatives} == set(get_args(Goal)) - {"balanced"}
    for one in plan.alternatives:
        assert one.config == recommend(LLAMA_8B, device, EXAMPLE, goal=one.goal).config
        assert one.gives_up


def test_16_bit_lora_is_an_alternative_with_what_it_gains() -> None:
    card = replace(RTX_3090, free_bytes=int(25.2 * GIB), total_bytes=26 * GIB)
    plan = recommend(LLAMA_8B, card, EXAMPLE)
    assert plan.config.method == "qlora"
    lora = [one for one in plan.alternatives if one.config.method == "lora"]
    assert {one.goal for one in lora} == {"fastest", "best-quality"}
    for one in lora:
        assert "base not quantised" in one.gains
        assert "less time" in one.gains


def test_optimizer_states_of_8_bits_come_before_a_base_of_4() -> None:
    """They round no weight, and a 16-bit base is faster: benchmarks.pairs found a plan 30 % slower without."""
    card = replace(RTX_3090, free_bytes=int(25.5 * GIB), total_bytes=26 * GIB)
    training = recommend(LLAMA_8B, card, EXAMPLE).config
    assert (training.method, training.training.optim) == ("lora", "paged_adamw_8bit")


def test_quality_takes_8_bits_where_16_do_not_fit() -> None:
    card = replace(RTX_3090, free_bytes=int(15.5 * GIB), total_bytes=16 * GIB)
    plan = recommend(LLAMA_8B, card, EXAMPLE, goal="best-quality")
    assert (plan.config.method, plan.config.quantization.bits) == ("qlora", 8)
    assert "The most that fit here: 8 bits" in plan.reasons["quantization.bits"].why
    assert [line.label for line in plan.reasons["quantization.bits"].evidence] == ["16 bits", "8 bits", "4 bits"]
    assert recommend(LLAMA_8B, card, EXAMPLE).config.quantization.bits == 4
    volta = replace(card, compute_capability=(7, 0), bf16=False)
    assert recommend(LLAMA_8B, volta, EXAMPLE, goal="best-quality").config.quantization.bits == 4


def test_no_faster_split_is_left_unused() -> None:
    from recommender.config.edit import with_values
    from recommender.estimate.pricer import pricer

    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE)
    price, chosen = pricer(LLAMA_8B, RTX_4090, EXAMPLE), plan.estimate.time
    assert chosen is not None
    for micro in (1, 2, 4, 8, 16):
        for checkpointing in (True, False):
            other = price(
                with_values(
                    plan.config,
                    {
                        "training.per_device_train_batch_size": micro,
                        "training.gradient_accumulation_steps": 16 // micro,
                        "training.gradient_checkpointing": checkpointing,
                    },
                )
            )
            if other.fits == "yes" and other.peak.high_bytes <= 0.7 * other.free_bytes:
                assert other.time is not None
                assert other.time.step_seconds * 1.05 >= chosen.step_seconds


def test_overrides_are_kept_and_the_rest_derived_around_them() -> None:
    plan = recommend(
        LLAMA_8B, RTX_4090, EXAMPLE, overrides={"per_device_train_batch_size": 4, "max_length": 512, "r": 8}
    )
    training = plan.config.training
    assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (4, 4)
    assert (plan.config.data.max_length, plan.config.lora.r) == (512, 8)
    assert "recommended was 1024" in plan.reasons["data.max_length"].why
    assert plan.recommended["data.max_length"] == 1024


def test_accumulation_alone_decides_the_micro_batch() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"gradient_accumulation_steps": 4})
    assert plan.config.training.per_device_train_batch_size == 4


def test_the_data_section_is_kept() -> None:
    section = Data(train=["/data/rows.jsonl"], format="alpaca", columns={"output": "answer"}, train_on="all")
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE, data_config=section, overrides={"data.columns.input": "context"})
    assert plan.config.data.train == ["/data/rows.jsonl"]
    assert plan.config.data.columns == {"output": "answer", "input": "context"}
    assert plan.config.data.train_on == "all"


def test_without_data_there_is_still_a_plan() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, None)
    assert plan.estimate.fits == "yes"
    assert plan.estimate.time is None or plan.estimate.time.total_seconds is None
    assert "No data is known" in plan.reasons["data.max_length"].why
    _holds_reasons(plan)


def test_a_card_that_is_too_small_gets_the_nearest_plan() -> None:
    plan = recommend(LLAMA_8B, TINY_CARD, EXAMPLE)
    assert plan.estimate.fits == "no"
    assert plan.config.method == "qlora"
    assert plan.config.training.per_device_train_batch_size == 1
    assert plan.config.training.gradient_checkpointing
    assert plan.remedies
    assert plan.warnings[0].code == "does_not_fit"


def test_length_gives_way_before_the_plan_does() -> None:
    long_rows = rows(5_000, 6_000)
    plan = recommend(LLAMA_8B, LAPTOP, long_rows)
    full = recommend(LLAMA_8B, RTX_5090, long_rows, overrides={"method": "qlora"})
    assert plan.config.data.max_length < full.config.data.max_length
    assert plan.estimate.fits == "yes"
    assert "Memory allows" in plan.reasons["data.max_length"].why
    assert "length_cuts" in codes(plan.warnings)


def test_goals_by_name() -> None:
    assert as_goal("longest-context") == "longest-context"
    with pytest.raises(InputError) as caught:
        as_goal("fast")
    assert "fastest" in caught.value.remedy


@pytest.mark.parametrize("model", [LLAMA_8B, SMOLLM], ids=lambda model: model.name)
def test_a_plan_costs_few_estimates(model: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """About a hundred, for all goals: benchmarks.search_speed measures the time."""
    asked = count_estimates(monkeypatch)
    recommend(model, RTX_4090, EXAMPLE)
    assert 10 < len(asked) <= 180


def test_same_question_same_plan() -> None:
    first, second = (recommend(LLAMA_8B, RTX_4090, EXAMPLE) for _ in range(2))
    assert first == second
    assert value_of(first.config, "training.seed") == 42


@pytest.mark.parametrize("device", [RTX_3090, T4, LAPTOP], ids=lambda device: device.name)
@pytest.mark.parametrize("goal", ["balanced", "fastest"])
def test_no_faster_plan_that_obeys_the_rules_is_left_unused(device: Device, goal: Goal) -> None:
    plan = recommend(LLAMA_8B, device, EXAMPLE, goal=goal)
    ours = Candidate(plan.config, plan.estimate)
    others = [one for one in every(plan) if obeys(one, plan)]
    assert others
    assert ours.cost <= 1.05 * min(one.cost for one in others)
