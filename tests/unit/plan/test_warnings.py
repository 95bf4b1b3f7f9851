"""What a plan warns of, and what it refuses: odd data, devices that hold nothing, values that contradict each other."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.schema import Goal
from recommender.machine.facts import Device
from recommender.plan.edit import replan
from recommender.plan.recommend import recommend
from recommender.plan.request import GOALS
from recommender.units import count
from recommender.warning import codes, texts
from tests.unit.plan.facts import (
    CPU,
    EXAMPLE,
    LAPTOP,
    LLAMA_8B,
    RTX_3090,
    RTX_4090,
    RTX_5090,
    SMOLLM,
    T4,
    TINY_CARD,
    UNKNOWN_24,
    rows,
)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_few_rows_are_warned_about(count: int) -> None:
    plan = recommend(SMOLLM, CPU, rows(count, 100))
    assert any(f"{count} row" in warning for warning in texts(plan.warnings))
    assert plan.config.training.effective_batch_size <= max(4, count)


def test_what_somebody_set_is_told_before_what_the_rows_are_like() -> None:
    few = rows(60, 200)
    told = recommend(SMOLLM, CPU, few, overrides={"data.max_length": 64, "training.learning_rate": 0.5}).warnings
    cut, far, rowed = (codes(told).index(code) for code in ("length_cuts", "rate_far_above", "few_rows"))
    assert (cut, far) == (0, 1) and rowed > far


def test_too_much_held_out_is_warned_about() -> None:
    def said(fraction: float) -> list[str]:
        plan = recommend(SMOLLM, CPU, rows(500, 100), overrides={"data.eval_fraction": fraction})
        return [one.text for one in plan.warnings if one.code == "few_left_to_train"]

    assert said(0.999) == ["eval_fraction 0.999 holds out 499 of 500 rows: 1 row to train on, too few to learn from."]
    assert not said(0.9)


def test_names_of_modules_that_there_are() -> None:
    named = {"modules_to_save": ["embed_tokens", "norm"], "rank_pattern": {"q_proj": 8, r".*\.[01]\..*": 4}}
    assert recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides=named).config.lora.rank_pattern["q_proj"] == 8


def test_an_adapter_of_the_head_is_answered_with_what_trains_it() -> None:
    with pytest.raises(InputError) as caught:
        recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"target_modules": ["q_proj", "lm_head"]})
    assert "lora.modules_to_save=[lm_head]" in (caught.value.remedy or "")
    kept = {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}
    assert recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides=kept).config.lora.modules_to_save == ["lm_head"]


def test_an_adapter_of_a_single_layer_is_said_to_be_unsupported() -> None:
    with pytest.raises(InputError) as caught:
        recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"target_modules": ["model.layers.0.self_attn.q_proj"]})
    assert "an adapter of single layers is not supported here" in caught.value.message
    assert caught.value.remedy == "Write q_proj: it is adapted in every layer."


def test_what_a_refused_pattern_is_answered_with_is_taken() -> None:
    with pytest.raises(InputError) as caught:
        recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"rank_pattern": {"(?i)Q_proj": 8}})
    assert caught.value.remedy == "Write (?i:Q_proj): flags hold within a group."
    taken = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"rank_pattern": {"(?i:Q_proj)": 8}})
    plain = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"rank_pattern": {"q_proj": 8}})
    assert taken.estimate.trainable_parameters == plain.estimate.trainable_parameters
    with pytest.raises(InputError, match="is neither a layer's name"):
        replan(plain, {"alpha_pattern": {"(?i)Q_proj": 8}})


def test_the_rank_reason_counts_the_ranks_of_rank_pattern() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"rank_pattern": {"q_proj": 128}})
    assert f"{count(plan.estimate.trainable_parameters)} adapter parameters" in plan.reasons["lora.r"].why
    assert not [one.text for one in plan.warnings if one.code == "pattern_unseen"]


def test_a_pattern_that_may_match_nothing_is_warned_of() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"alpha_pattern": {r".*\.[01]\..*": 4}})
    assert [warning for warning in texts(plan.warnings) if r"matches '.*\.[01]\..*'" in warning]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"warmup_steps": 500}, "warmup_steps 500 leaves nothing of the run's 34 steps"),
        ({"eval_steps": 1000}, "eval_steps 1 000 is beyond the run's 34 steps"),
        ({"save_steps": 35}, "save_steps 35 is beyond the run's 34 steps"),
        ({"max_steps": 1, "warmup_steps": 0.05}, "The run's only step is one of warmup"),
        ({"max_steps": 1, "warmup_steps": 0}, ""),
        ({"max_steps": 12, "warmup_steps": 1}, "1 of the run's 12 steps learns nothing"),
        ({"max_steps": 12, "warmup_steps": 0.05}, "1 of the run's 12 steps learns nothing"),
        ({"max_steps": 12, "warmup_steps": 3}, ""),
        ({"max_steps": 12}, ""),
        ({"warmup_steps": 33, "eval_steps": 34, "save_steps": 34}, ""),
        ({"warmup_steps": 500, "lr_scheduler_type": "constant"}, ""),
        ({"eval_steps": 1000, "save_steps": 34, "eval_fraction": 0}, ""),
    ],
)
def test_what_is_set_in_steps_is_held_against_those_of_the_run(overrides: dict[str, Any], says: str) -> None:
    epoch = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "num_train_epochs": 1}
    warnings = texts(recommend(SMOLLM, RTX_4090, rows(300, 100), overrides={**epoch, **overrides}).warnings)
    found = [warning for warning in warnings if "he run's" in warning]
    assert [says in warning for warning in found] == ([True] if says else [])


def test_a_context_that_no_row_reaches_is_not_warned_of() -> None:
    def told(longest: int) -> list[str]:
        plan = recommend(SMOLLM, RTX_4090, rows(301, longest), overrides={"max_length": 200_000})
        return [one.text for one in plan.warnings if one.code == "beyond_context"]

    assert not told(100)
    assert told(SMOLLM.max_position_embeddings)


def test_what_cannot_be_trained_here_is_said_before_what_is_to_be_fetched() -> None:
    far = replace(LLAMA_8B, access="It is not on this disk.")
    one, two = (recommend(far, device, EXAMPLE).warnings for device in (RTX_4090, replace(RTX_4090, count=2)))
    assert one[0].code == "model_access" and one[0].text == "It is not on this disk."
    assert codes(two)[:2] == ["several_cards", "model_access"]


def test_a_simulated_card_is_said_to_be_one() -> None:
    assert "simulated" in codes(recommend(LLAMA_8B, UNKNOWN_24, EXAMPLE).warnings)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"learning_rat": 1}, "learning_rat is not a key"),
        ({"r": 0}, "lora.r must be at least 1"),
        ({"method": "lora", "quantization.bits": 4}, "bits must be null"),
        ({"target_modules": ["q_prj"]}, "no layer called 'q_prj'"),
        ({"target_modules": []}, "target_modules is empty"),
        ({"target_modules": ["q_proj", "lm_head"]}, "lm_head stands outside the layers"),
        ({"target_modules": ["q_proj", "model.embed_tokens"]}, "embed_tokens stands outside the layers"),
        ({"target_modules": ["q_proj", "self_attn.k_proj"]}, "'self_attn.k_proj' would be k_proj of some"),
        ({"target_modules": ["v_proj"], "rank_pattern": {"q_proj": 4}}, "rank_pattern: 'q_proj' gets no adapter"),
        ({"alpha_pattern": {"lm_head": 4}}, "alpha_pattern: 'lm_head' gets no adapter"),
        ({"rank_pattern": {"*_proj": 4}}, "neither a layer's name nor a regular expression"),
        ({"rank_pattern": {"(?i)q_proj": 4}}, "global flags not at the start of the expression."),
        ({"alpha_pattern": {"q_proj{9999999999999}": 4}}, "the repetition number is too large."),
        ({"rank_pattern": {"(" * 3000: 4}}, "neither a layer's name nor a regular expression"),
        ({"modules_to_save": ["nope"]}, "lora.modules_to_save: llama-3.1-8b-instruct has no module called 'nope'"),
        ({"rank_pattern": {"nope": 4}}, "lora.rank_pattern: llama-3.1-8b-instruct has no module called 'nope'"),
        ({"alpha_pattern": {"layers.0.q_prj": 4}}, "has no module called 'layers.0.q_prj'"),
    ],
)
def test_values_that_cannot_be(overrides: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides=overrides)
    assert says in caught.value.message


def test_a_model_stored_in_4_bits_stays_qlora() -> None:
    stored = replace(LLAMA_8B, quantization="bnb-4bit")
    assert recommend(stored, RTX_5090, EXAMPLE).config.method == "qlora"
    with pytest.raises(InputError, match="stored in 4 bits"):
        recommend(stored, RTX_5090, EXAMPLE, overrides={"method": "lora"})


def test_what_fits_nowhere_says_what_would() -> None:
    from tests.unit.plan.facts import model

    warnings = recommend(model("llama-3.3-70b-instruct"), RTX_3090, EXAMPLE).warnings
    assert codes(warnings)[:2] == ["does_not_fit", "nothing_fits"] and warnings[0].severity == "stop"
    assert re.search(r"it would on .* \(48.0 GiB\)", warnings[1].text)
    assert "the largest model that fits here is" in warnings[1].text
    nowhere = replace(LAPTOP, free_bytes=1, total_bytes=1)
    assert "no model of the catalogue fits here" in recommend(SMOLLM, nowhere, None).warnings[1].text


@pytest.mark.parametrize("device", [RTX_3090, T4, CPU], ids=lambda device: device.name)
@pytest.mark.parametrize("goal", GOALS)
def test_a_device_with_nothing_free(device: Device, goal: Goal) -> None:
    plan = recommend(LLAMA_8B, replace(device, free_bytes=0), rows(3, 100), goal=goal)
    assert plan.estimate.fits == "no"
    assert plan.warnings[1].text.endswith("end what uses them, and it fits.")
    for reason in plan.reasons.values():
        assert not re.search(r"\b(inf|nan)\b", reason.why)


def test_one_endless_row_is_named() -> None:
    lengths = [100] * 300 + [60_000]
    data = replace(
        rows(301, 100), lengths=lengths, spans=[x for n in lengths for x in (0, n)], span_start=[*range(302)]
    )
    plan = recommend(LLAMA_8B, RTX_5090, data)
    assert any(
        warning.startswith("1 row of 301 is longer than 128 tokens: that max_length would keep all others whole")
        for warning in texts(plan.warnings)
    )
    assert "few_long_rows" not in codes(recommend(LLAMA_8B, RTX_5090, EXAMPLE).warnings)


@pytest.mark.parametrize(
    ("device", "overrides", "says"),
    [
        (T4, {"attn_implementation": "flash_attention_2"}, "cannot run flash_attention_2"),
        (CPU, {"attn_implementation": "flash_attention_2"}, "cannot run flash_attention_2"),
        (RTX_4090, {"attn_implementation": "flash_attention_3"}, "begins at compute capability 9.0"),
        (RTX_4090, {"method": "qlora", "init_lora_weights": "pissa"}, "4 bits round them"),
        (RTX_4090, {"bits": 8, "init_lora_weights": "loftq"}, "needs both weights"),
        (RTX_4090, {"data.eval_fraction": 0, "early_stopping": 2}, "nothing is held out"),
        (RTX_4090, {"init_lora_weights": "eva"}, "not 'eva'"),
    ],
)
def test_contradictions_are_refused_before_anything_is_planned(
    device: Device, overrides: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError) as caught:
        recommend(LLAMA_8B, device, EXAMPLE, overrides=overrides)
    assert says in caught.value.message
    assert caught.value.remedy


def test_a_start_of_the_adapter_decides_how_the_base_is_held() -> None:
    from recommender.plan.edit import replan

    assert recommend(LLAMA_8B, RTX_4090, EXAMPLE).config.method == "qlora"
    assert recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"init_lora_weights": "pissa"}).config.method == "lora"
    loftq = recommend(LLAMA_8B, RTX_5090, EXAMPLE, overrides={"init_lora_weights": "loftq"})
    assert (loftq.config.method, loftq.config.quantization.bits) == ("qlora", 4)
    with pytest.raises(InputError, match="4 bits round them"):
        replan(recommend(LLAMA_8B, RTX_4090, EXAMPLE), {"init_lora_weights": "pissa"})


def test_a_warmup_longer_than_the_run_is_said() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"warmup_steps": 200, "max_steps": 100})
    assert "warmup_beyond_run" in codes(plan.warnings)


def test_a_limit_beyond_every_row_costs_nothing_and_is_not_blamed() -> None:
    plan = recommend(LLAMA_8B, RTX_5090, EXAMPLE, overrides={"max_length": 32_768})
    assert "few_long_rows" not in codes(plan.warnings)


def test_a_mig_slice_is_said_to_be_one() -> None:
    slice_ = replace(LAPTOP, name="A100 1g.10gb", mig=True)
    assert "slice_of_gpu" in codes(recommend(SMOLLM, slice_, EXAMPLE).warnings)
    assert "slice_of_gpu" not in codes(recommend(SMOLLM, LAPTOP, EXAMPLE).warnings)


def test_a_length_that_no_stretching_reaches_is_not_left_to_the_plan() -> None:
    beyond = recommend(LLAMA_8B, RTX_4090, None, overrides={"max_length": 400_000})
    (said,) = (one.text for one in beyond.warnings if one.code == "beyond_context")
    assert said.endswith("shorten it.")
    reached = recommend(SMOLLM, RTX_4090, rows(4000, 20_000), overrides={"max_length": 16_384, "rope_scaling": None})
    (said,) = (one.text for one in reached.warnings if one.code == "beyond_context")
    assert said.endswith("or leave rope_scaling to the plan.")


def test_remedies_that_do_not_suffice_are_not_called_help() -> None:
    from rich.console import Console

    from tui.commands.output.plan import show_plan

    def shown(device: Device, **overrides: Any) -> str:
        console = Console(width=200, file=StringIO())
        show_plan(recommend(LLAMA_8B, device, EXAMPLE, overrides=overrides), console)
        assert isinstance(console.file, StringIO)
        return console.file.getvalue()

    nowhere = shown(TINY_CARD)
    assert "none of it enough alone" in nowhere
    assert "what would help" not in nowhere
    assert "what would help" in shown(RTX_3090, per_device_train_batch_size=64, max_length=1024)
