"""What an expert found who read every reason in order to prove it wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recommender.estimate.data_parallel import several
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.plan.edit import replan
from recommender.plan.recommend import recommend
from recommender.plan.types import Plan
from recommender.rules.reason import Reason
from recommender.steps import plan_steps
from recommender.units import count, counted, gib, percent
from tests.unit.plan.facts import CPU, EXAMPLE, LLAMA_8B, RTX_4090, RTX_5090, SMOLLM, T4, card, model, rows

A100 = card("A100 80GB", 79.2, (8, 0), bandwidth=2039e9, flops=312e12)


def plan(spec: ModelSpec = LLAMA_8B, device: Device = RTX_4090, data: Any = EXAMPLE, **overrides: Any) -> Plan:
    return recommend(spec, device, data, overrides=overrides)


def reason(key: str, *args: Any, **overrides: Any) -> Reason:
    return plan(*args, **overrides).reasons[key]


def test_a_model_that_was_swept_is_not_outside_the_sweep() -> None:
    rate = reason("training.learning_rate", model("llama-3.2-1b-instruct"))
    assert "outside" not in rate.why
    assert rate.confidence == "medium"
    smaller = reason("training.learning_rate", SMOLLM)
    assert "135 M parameters lie outside" in smaller.why
    assert smaller.confidence == "low"


def test_the_warmup_that_is_told_is_the_one_that_runs() -> None:
    for steps in (50, 51, 3063):
        chosen = plan(max_steps=steps)
        planned = plan_steps(chosen.config, chosen.data)
        assert planned is not None
        assert f"{count(planned.warmup)} of {count(steps)} steps" in chosen.reasons["training.warmup_steps"].why


def test_attention_alone_is_all_of_attention_also_where_its_layers_are_one() -> None:
    phi = model("phi-3-mini-4k-instruct")
    chosen = plan(phi)
    same = {**chosen.searched, "lora.r": chosen.config.lora.r}
    alone = plan(phi, target_modules=["qkv_proj", "o_proj"], **same)
    saved = chosen.estimate.peak.process_bytes - alone.estimate.peak.process_bytes
    assert chosen.reasons["lora.target_modules"].costs == f"Attention layers alone would save {gib(saved)}."


def test_why_there_is_no_flash_attention() -> None:
    key = "training.attn_implementation"
    assert "begins at compute capability 8.0, and T4 has 7.5" in reason(key, LLAMA_8B, T4).why
    assert "not installed here" in reason(key, LLAMA_8B, RTX_4090).why
    assert "caps its attention scores" in reason(key, model("gemma-2-9b-it"), RTX_4090).why


def test_quantising_is_not_said_to_cost_time_where_it_costs_none() -> None:
    long_rows = plan(model("llama-3.2-1b-instruct"), card("V100 32GB", 31.6, (7, 0), bandwidth=900e9), rows(30, 18_000))
    assert "no slower" in long_rows.reasons["method"].costs
    assert "quantising is not needed" in long_rows.reasons["method"].why
    short_rows = plan(LLAMA_8B, RTX_5090, EXAMPLE)
    assert "slower" in short_rows.reasons["method"].costs
    assert "would only cost time" in short_rows.reasons["method"].why


def test_few_held_out_rows_are_not_called_enough() -> None:
    few, many = reason("data.eval_fraction", data=rows(90, 60)), reason("data.eval_fraction")
    assert "9, are held out: so few" in few.why
    assert (few.confidence, many.confidence) == ("low", "medium")
    assert "enough to see the loss turn" in many.why
    assert "1, is held out" in reason("data.eval_fraction", data=rows(3, 60)).why


def test_steps_are_told_with_the_passes_that_they_take() -> None:
    key = "training.gradient_accumulation_steps"
    assert "949 rows in 3 passes give 180 steps" in reason(key, data=rows(999, 100)).why
    assert "4, the least that is taken, gives" in reason(key, data=rows(90, 60)).why
    assert reason(key, max_steps=100).why.endswith("give 3 063 steps, and max_steps ends the run at 100.")
    few = [reason(key, data=rows(270, 100), gradient_accumulation_steps=each).why for each in (8, 1000)]
    assert all("of 243 rows in 3 passes; 4, the least that is taken, gives 183 steps" in why for why in few), few


def test_why_room_for_every_activation_is_not_enough() -> None:
    chosen = plan(LLAMA_8B, card("a card", 32, (8, 9)))
    assert (chosen.config.method, chosen.config.training.gradient_checkpointing) == ("lora", True)
    assert "70 % that leave room" in chosen.reasons["training.gradient_checkpointing"].why
    rounded = plan(LLAMA_8B, card("a card", 18, (8, 9)))
    assert (rounded.config.method, rounded.config.training.gradient_checkpointing) == ("qlora", True)
    assert "beyond the 70 % that leave room" in rounded.reasons["training.gradient_checkpointing"].why
    crowded = plan(LLAMA_8B, card("a card", 9.5, (8, 9)), rows(50_000, 800))
    assert "70 %" not in crowded.reasons["training.gradient_checkpointing"].why


def test_a_faster_split_that_is_not_taken_is_told_with_the_ground() -> None:
    key = "training.per_device_train_batch_size"
    held = recommend(LLAMA_8B, device_from_catalogue("H100"), rows(300, 300)).reasons[key].why
    assert "of free memory that leave room" in held and "10 % faster" in held
    chosen = plan(LLAMA_8B, RTX_4090, rows(300, 300))
    assert chosen.reasons[key].why.startswith("The smallest micro-batch within 5 % of the fastest that fits")
    fast = recommend(
        LLAMA_8B, RTX_4090, EXAMPLE, goal="fastest", overrides={"method": "qlora", "optim": "adamw_torch_fused"}
    )
    longer = replan(fast, {"max_length": 2048})
    assert longer.estimate.fits != "yes" and "does not fit any more, and 1 × 16 would" in longer.reasons[key].why
    sixteen = replan(recommend(LLAMA_8B, RTX_4090, EXAMPLE), {"method": "lora"})
    assert "no split fits" in sixteen.reasons[key].why
    assert "there is no room for every activation" in sixteen.reasons["training.gradient_checkpointing"].why
    bare = replan(plan(LLAMA_8B, card("a card", 24, (8, 6)), rows(300, 800)), {"method": "lora"})
    assert "leave room" not in bare.reasons[key].why + bare.reasons["training.gradient_checkpointing"].why
    three = recommend(LLAMA_8B, several(RTX_4090, 3), rows(50_000, 200)).reasons["training.gradient_accumulation_steps"]
    assert "on 3 cards 15 comes nearest" in three.why and "fewer than" not in three.why
    packed = recommend(LLAMA_8B, RTX_4090, rows(50_000, 200), overrides={"packing": True, "max_steps": 10})
    assert packed.reasons["training.gradient_accumulation_steps"].why.endswith("max_steps ends the run at 10.")
    edited = replan(chosen, {"gradient_checkpointing": not chosen.config.training.gradient_checkpointing})
    assert "before other values were edited" in edited.reasons[key].why
    again = recommend(
        LLAMA_8B,
        RTX_4090,
        rows(300, 300),
        overrides={"gradient_checkpointing": not chosen.config.training.gradient_checkpointing},
    )
    assert "before other values were edited" not in again.reasons[key].why


def test_lengths_that_were_estimated_are_not_called_counted() -> None:
    estimated = replace(EXAMPLE, shape="alpaca", tokenizer="estimated")
    exact = replace(EXAMPLE, shape="alpaca", tokenizer="exact")
    assert "estimated from the text" in reason("data.max_length", data=estimated).source
    assert "(counted)" in reason("data.max_length", data=exact).source


def test_a_rate_above_all_that_were_measured_says_so() -> None:
    few = reason("training.learning_rate", SMOLLM, data=rows(3, 50))
    assert few.value > 1e-3
    assert "No rate above 0.001 was best for any swept model" in few.why
    assert "No rate above" not in reason("training.learning_rate").why


def test_the_scale_of_a_high_rank_is_not_called_the_measured_one() -> None:
    alpha = reason("lora.lora_alpha", r=1024)
    assert "keeping it" not in alpha.why
    assert "0.03125 here" in alpha.why
    assert "0.04406" in alpha.why


def test_dropout_has_its_price() -> None:
    chosen = plan()
    with_dropout = plan(lora_dropout=0.1, r=chosen.config.lora.r, **dict(chosen.searched))
    more = with_dropout.estimate.peak.process_bytes - chosen.estimate.peak.process_bytes
    assert chosen.reasons["lora.lora_dropout"].costs.startswith(f"none at 0; 0.1 would take {gib(more)} more, and time")


def test_a_processor_is_not_told_of_compute_capabilities() -> None:
    assert "compute capability" not in reason("training.tf32", SMOLLM, CPU).why


def test_four_bits_for_speed_are_not_said_to_save_memory() -> None:
    phi = model("phi-3-mini-4k-instruct")
    fastest = recommend(phi, RTX_4090, rows(50_000, 800), goal="fastest")
    assert fastest.config.method == "qlora"
    assert "the plan is the fastest that fits" in fastest.reasons["method"].why


@pytest.mark.parametrize("key", ["use_dora", "gradient_checkpointing"])
def test_the_reason_beside_a_persons_value_is_that_of_the_recommendation(key: str) -> None:
    recommended = plan()
    full = next(name for name in recommended.reasons if name.endswith(key))
    theirs = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={key: not recommended.reasons[full].value}).reasons[full]
    word = str(recommended.reasons[full].value).lower()
    assert theirs.why.startswith(f"You set this; recommended was {word}, and why: ")


def test_8_bit_states_that_are_taken_are_not_told_as_if_they_were_not() -> None:
    assert "would take" in reason("training.optim").costs
    assert "states take" in reason("training.optim", optim="paged_adamw_8bit").costs


def test_the_next_rank_is_priced_from_the_persons_own() -> None:
    assert reason("lora.r", r=128).costs.startswith("r 256 would take ")


def test_where_sources_dispute_fp16_both_are_shown() -> None:
    gemma = reason("training.precision", model("gemma-2-9b-it"), T4)
    assert (gemma.value, gemma.confidence) == ("fp16", "medium")
    assert "vLLM refuses gemma2 in fp16" in gemma.others
    assert "Unsloth trains it" in gemma.others
    assert reason("training.precision", LLAMA_8B, T4).confidence == "high"
    assert reason("training.precision", model("gemma-2-9b-it"), RTX_4090).confidence == "high"


def test_the_fastest_plan_takes_no_saver_that_makes_it_no_faster() -> None:
    laptop = card("RTX 4060 Laptop", 7.7, (8, 9), bandwidth=256e9, flops=60e12)
    for device in (laptop, card("RTX 3060", 11.7, (8, 6), bandwidth=360e9, flops=51e12), RTX_4090):
        fastest = recommend(LLAMA_8B, device, EXAMPLE, goal="fastest")
        assert not fastest.config.training.activation_offloading
        bare = recommend(LLAMA_8B, device, EXAMPLE, goal="fastest", overrides={"optim": "adamw_torch_fused"})
        assert bare.estimate.time is not None
        assert fastest.estimate.time is not None
        if "8bit" in fastest.config.training.optim:
            assert fastest.estimate.time.step_seconds < bare.estimate.time.step_seconds


def test_checkpoints_over_the_bus_take_time() -> None:
    on = plan(LLAMA_8B, RTX_4090, gradient_checkpointing=True, activation_offloading=True)
    off = plan(LLAMA_8B, RTX_4090, gradient_checkpointing=True, activation_offloading=False)
    same = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16, "optim": "adamw_torch_fused"}
    on, off = replan(on, same), replan(off, same)
    assert on.estimate.time is not None
    assert off.estimate.time is not None
    # 30 of 32 layers' inputs of 199 tokens on average, 4 096 wide, 2 bytes, both ways at 12 GB/s, 16 times a step.
    assert on.data is not None
    seconds = 16 * 2 * 30 * on.data.tokens_at(on.config.data.max_length) / on.data.rows * 4096 * 2 / 12e9
    assert on.estimate.time.step_seconds - off.estimate.time.step_seconds == pytest.approx(seconds, rel=0.01)


def test_8_bit_states_are_told_as_given_up() -> None:
    smallest = next(one for one in plan().alternatives if one.goal == "smallest-memory")
    assert "8-bit optimizer states" in smallest.gives_up


def test_how_little_of_a_mixture_is_quantised_stands_in_the_reason() -> None:
    mixture = model("qwen3-30b-a3b")
    share = mixture.linear_parameters / mixture.total_parameters
    said = reason("method", mixture, A100, **{"quantization.experts": False})
    assert said.value == "qlora"
    assert f"outside of the experts ({percent(share)} of the weights), is held in 4 bits" in said.why


def test_weights_of_32_bits_are_counted_as_such() -> None:
    said = reason("quantization.bits", method="qlora", precision="fp32").why
    assert f"instead of {gib(LLAMA_8B.linear_parameters * 4)}" in said


def test_what_packing_would_save_is_told_where_it_is_off() -> None:
    short = reason("data.packing", data=rows(2000, 120))
    assert "off" in short.why.lower() and "less time by the estimate" in short.costs


def test_rows_of_one_card_are_not_told_as_those_of_all() -> None:
    two = reason("training.per_device_train_batch_size", LLAMA_8B, several(RTX_4090, 2))
    assert "8 rows a step on each card" in two.why
    assert "each card" not in reason("training.per_device_train_batch_size").why


def test_a_short_run_has_no_warmup_whose_first_step_learns_nothing() -> None:
    for steps in (1, 3, 19):
        short = reason("training.warmup_steps", max_steps=steps)
        assert short.value == 0
        assert f"rate 0, and 1 of {counted(steps, 'step')} would learn nothing" in short.why
    assert reason("training.warmup_steps", max_steps=20).value == 0.05
    assert "from 0, which the first step has" in reason("training.warmup_steps", max_steps=20).why
