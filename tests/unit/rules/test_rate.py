from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.rate_fit import fit, load
from benchmarks.regret import HELD, ours, regrets
from benchmarks.short_runs import RESULTS, curves, mean_regret
from benchmarks.short_runs import fit as fit_short
from benchmarks.short_runs import load as load_short
from presets.rate_law import load_rate_law
from presets.sweep import load_sweep
from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.estimate.estimate import estimate
from recommender.estimate.types import Estimate
from recommender.model.spec import ModelSpec
from recommender.rules.base import Context, PricedContext
from recommender.rules.rate import (
    SHORTER_EXPONENT,
    base_rate,
    batch_factor,
    explain_rate,
    length_factor,
    rate,
    two_digits,
)
from recommender.rules.reason import Reason
from recommender.rules.schedule import regularisation
from tests.unit.plan.facts import LLAMA_8B, RTX_4090, SMOLLM, model, rows

LLAMA_70B = model("llama-3.3-70b-instruct")


def never(config: FinetuneConfig) -> Estimate:
    raise AssertionError("the rate needs no price")


def advise(spec: ModelSpec, **values: Any) -> Reason:
    config = FinetuneConfig(model="m", method="qlora", quantization=Quantization(bits=4))
    config = with_values(config, {key.replace("__", "."): value for key, value in values.items()})
    context = PricedContext(
        spec,
        RTX_4090,
        None,
        "balanced",
        config,
        price=never,
        estimate=estimate(config, spec, RTX_4090, known=()),
    )
    return explain_rate(context, rate(context))["training.learning_rate"]


def test_dense_gemma_4_is_held_to_the_published_rate_and_its_mixture_is_not() -> None:
    dense = replace(LLAMA_8B, model_type="gemma4")
    held = advise(dense)
    assert held.value == 5e-5 and "Held to 5e-5: Dense Gemma 4" in held.why and "45676" in held.why
    assert advise(dense, method="full", quantization__bits=None).value < 5e-5
    mixture = replace(dense, num_experts=128, moe_intermediate_size=768)
    assert advise(mixture).value == advise(replace(LLAMA_8B, model_type="unknown")).value > 5e-5
    assert "Axolotl takes 2e-4 for the mixture" in advise(mixture).others


@pytest.mark.parametrize(
    ("model_type", "experts", "method", "clip"),
    [
        ("gemma4_unified", 0, "qlora", 0.1),
        ("gemma4", 0, "lora", 0.1),
        ("gemma4", 128, "lora", 1.0),
        ("gemma4", 0, "full", 1.0),
        ("llama", 0, "qlora", 0.3),
    ],
)
def test_gradients_are_clipped_as_the_family_needs(model_type: str, experts: int, method: Any, clip: float) -> None:
    spec = replace(LLAMA_8B, model_type=model_type, num_experts=experts)
    bits = 4 if method == "qlora" else None
    config = FinetuneConfig(model="m", method=method, quantization=Quantization(bits=bits))
    context = Context(spec, RTX_4090, None, "balanced", config)
    assert regularisation(context)["training.max_grad_norm"] == clip


def test_what_others_take_for_a_hybrid_is_said() -> None:
    assert "1e-5 for Jamba (axolotl" in advise(replace(LLAMA_8B, model_type="jamba")).others


def test_the_law_is_the_fit_of_the_committed_sweep() -> None:
    law, again = load_rate_law(), fit(load())
    for name in ("base", "size", "rank"):
        assert getattr(law, name) == pytest.approx(getattr(again, name), rel=0.02)
    assert law.families == pytest.approx(again.families, abs=0.02)
    assert (law.highest, law.uncalibrated, law.ranks) == (again.highest, again.uncalibrated, again.ranks)


def test_the_sum_in_the_reason_is_the_sum_of_the_value() -> None:
    reason = advise(LLAMA_8B, training__gradient_accumulation_steps=128)
    shown = re.search(r"(\S+) × \(8.03 B / 8B\)\^(\S+) × \(16 / 64\)\^(\S+) × (\S+) for llama = (\S+)\. ", reason.why)
    assert shown is not None, reason.why
    base, size, rank, factor, value = map(float, shown.groups())
    assert two_digits(base * 1.00375**size * 0.25**rank * factor) == value == reason.value
    assert reason.confidence == "medium"


def test_smaller_models_and_higher_ranks_take_more() -> None:
    assert base_rate(model("llama-3.2-3b-instruct"), 16) > base_rate(LLAMA_8B, 16) > base_rate(LLAMA_70B, 16)
    assert base_rate(LLAMA_8B, 64) > base_rate(LLAMA_8B, 16) > base_rate(LLAMA_8B, 4)
    assert base_rate(LLAMA_8B, 256) == base_rate(LLAMA_8B, 128)


def test_evidence_has_the_familys_rows_and_conditions() -> None:
    reason = advise(LLAMA_8B)
    assert [line.value for line in reason.evidence] == ["0.6113", "0.5983", "0.5863", "0.5931"]
    assert "batch 128" in reason.evidence[0].note
    assert "Your batch is 16" in reason.why


def test_an_uncalibrated_family_says_so() -> None:
    reason = advise(model("mistral-7b-instruct-v0.3"), training__gradient_accumulation_steps=128)
    assert reason.value == load_rate_law().uncalibrated
    assert "Not calibrated for this family (mistral; none of it was swept)" in reason.why
    assert reason.confidence == "low"
    assert reason.evidence == ()


def test_a_small_model_is_an_extrapolation_with_a_cap() -> None:
    reason = advise(SMOLLM, training__gradient_accumulation_steps=128, lora__r=64)
    assert reason.value == 1e-3 == max(row.best_rate for row in load_sweep().rows)
    assert "135 M parameters lie outside" in reason.why
    assert "Capped at" in reason.why
    assert reason.confidence == "low"


def test_a_smaller_batch_takes_less_and_a_short_run_more() -> None:
    large = advise(LLAMA_8B, training__gradient_accumulation_steps=128).value
    assert advise(LLAMA_8B, training__gradient_accumulation_steps=256).value == large
    assert advise(LLAMA_8B).value == pytest.approx(large * (16 / 128) ** 0.25, rel=0.03)
    assert advise(LLAMA_8B, training__max_steps=1000).value == advise(LLAMA_8B).value
    assert "short" not in advise(LLAMA_8B, training__max_steps=1000).why
    short = advise(LLAMA_8B, training__max_steps=100, training__gradient_accumulation_steps=128)
    assert short.value == pytest.approx(large * 1.5, rel=0.03)
    assert "100 steps are fewer than the sweep's 780, which wants more" in short.why
    assert "own runs" not in short.why
    assert short.confidence == "medium"
    shorter = advise(LLAMA_8B, training__max_steps=30)
    assert f"= {length_factor(30):.2f}, the latter from this project's own runs." in shorter.why
    assert shorter.confidence == "low"


def test_a_run_much_longer_than_the_sweep_is_told_as_a_guess() -> None:
    sure, unsure = (advise(LLAMA_8B, training__max_steps=steps) for steps in (7800, 62_400))
    assert sure.value == unsure.value
    assert (sure.confidence, unsure.confidence) == ("medium", "low")
    assert "62 400 steps are 80 times the sweep's" in unsure.why and "Bjorck" not in sure.why


@pytest.mark.slow
def test_the_exponent_of_short_runs_is_what_the_program_prints() -> None:
    found = curves(load_short(RESULTS))
    assert fit_short(found) == pytest.approx(SHORTER_EXPONENT, abs=0.011)
    assert mean_regret(found, SHORTER_EXPONENT) < mean_regret(found, 0.2)


def test_the_batch_matters_less_the_shorter_the_run() -> None:
    factors = [batch_factor(4, steps) for steps in (10, 30, 100, 780, 10_000, None)]
    assert factors == sorted(factors, reverse=True)
    assert factors[3] == factors[4] == factors[5] == pytest.approx((4 / 128) ** 0.25)
    assert batch_factor(4, 195) == pytest.approx((4 / 128) ** 0.125)
    assert [length_factor(steps) for steps in (100, 780, 781, None)] == pytest.approx([7.8**0.2, 1, 1, 1])
    assert length_factor(1) == length_factor(10) == pytest.approx(7.8**0.2 * 10**SHORTER_EXPONENT)


def test_the_regret_of_the_sweep_is_within_its_limits() -> None:
    found = regrets(ours(HELD["leave-one-model-out"], 400))
    assert len(found) == 18
    assert max(found.values()) <= 0.020
    assert sum(found.values()) / len(found) <= 0.0025


def test_full_fine_tuning_takes_a_tenth() -> None:
    assert advise(LLAMA_8B, method="full").value == pytest.approx(advise(LLAMA_8B).value / 10, rel=0.03)


@pytest.mark.parametrize(("alpha", "factor"), [(32.0, 1.0), (128.0, 0.5), (8.0, 2.0)])
def test_the_rate_follows_alpha(alpha: float, factor: float) -> None:
    assert advise(LLAMA_8B, lora__lora_alpha=alpha).value == pytest.approx(advise(LLAMA_8B).value * factor, rel=0.05)


def test_the_batch_counts_rows_where_sequences_are_packed() -> None:
    config = FinetuneConfig(model="m", method="qlora", quantization=Quantization(bits=4))
    config = with_values(config, {"data.max_length": 2048, "data.packing": True})
    packed = Context(LLAMA_8B, RTX_4090, rows(50_000, 200), "balanced", config)
    loose = Context(LLAMA_8B, RTX_4090, rows(50_000, 200), "balanced", with_values(config, {"data.packing": False}))
    assert rate(packed)["training.learning_rate"] > 1.5 * rate(loose)["training.learning_rate"]


def test_the_tinker_formula_is_worked_out_beside_ours() -> None:
    assert "(2000 / 4096)^0.781 gives 2.9e-4" in advise(LLAMA_8B).others
    assert "(2000 / 3584)^0.0775 gives 4.8e-4" in advise(model("qwen2.5-7b-instruct")).others
    assert "no published exponent for this family" in advise(model("mistral-7b-instruct-v0.3")).others


def test_a_model_that_counts_with_its_relatives_is_said_to() -> None:
    assert "Qwen 2 and 2.5 were not swept, and are taken as Qwen 3." in advise(model("qwen2.5-7b-instruct")).why
    assert "taken as" not in advise(model("qwen3-8b")).why
