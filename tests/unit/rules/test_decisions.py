"""Small decisions, one rule at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.config.schema import Goal, RopeScaling
from recommender.data.profile.profile import DataProfile
from recommender.rules.batch import effective_batch, micro_batches
from recommender.rules.length import reach, recommended_length
from recommender.rules.precision import needs_eager
from recommender.rules.running import recommended_eval_fraction
from recommender.rules.schedule import recommended_epochs
from recommender.rules.stages.sft import SFT_RULES
from recommender.warning import codes
from tests.unit.plan.facts import LLAMA_8B, SMOLLM, model, rows


def profile(lengths: list[int]) -> DataProfile:
    return DataProfile(
        files=(),
        shape="text",
        shape_reason="made",
        columns={},
        lengths=lengths,
        spans=[bound for length in lengths for bound in (0, length)],
        span_start=list(range(len(lengths) + 1)),
    )


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
def test_the_length_is_the_smallest_multiple_of_64_that_keeps_enough(lengths: list[int]) -> None:
    data = profile(lengths)
    chosen = recommended_length(data, LLAMA_8B, "balanced")
    assert chosen % 64 == 0
    assert data.trained_at(chosen) >= 0.995 * data.trained_tokens
    assert chosen == 64 or data.trained_at(chosen - 64) < 0.995 * data.trained_tokens
    assert recommended_length(data, LLAMA_8B, "best-quality") >= data.longest


def test_the_length_ends_where_positions_do() -> None:
    own = SMOLLM.max_position_embeddings
    assert recommended_length(profile([100_000]), SMOLLM, "balanced") == reach(SMOLLM) == 4 * own
    assert recommended_length(profile([100_000] + 300 * [100]), SMOLLM, "balanced") == own, "one row in 301 is few"
    assert recommended_length(profile([1_000_000]), LLAMA_8B, "balanced") == LLAMA_8B.max_position_embeddings
    assert recommended_length(None, SMOLLM, "balanced") == 1024


def test_positions_are_stretched_beyond_the_models_own_context_only() -> None:
    from recommender.plan.edit import replan
    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import EXAMPLE, H200

    assert recommend(SMOLLM, H200, EXAMPLE).config.rope_scaling is None
    long = recommend(SMOLLM, H200, rows(2_000, 3_000))
    assert long.config.data.max_length > SMOLLM.max_position_embeddings
    assert long.config.rope_scaling == RopeScaling(rope_type="yarn", factor=2)
    assert "stretches its positions 2 times" in long.reasons["rope_scaling"].why

    edited = replan(recommend(SMOLLM, H200, None), {"data.max_length": 20_000})
    assert edited.config.rope_scaling == RopeScaling(rope_type="yarn", factor=2.5)
    refused = replan(edited, {"rope_scaling": None})
    assert refused.config.rope_scaling is None
    assert "beyond_context" in codes(refused.warnings)
    assert "recommended was rope_type yarn, factor 2.5" in refused.reasons["rope_scaling"].why
    assert replan(refused, {}, ["rope_scaling"]).config.rope_scaling == edited.config.rope_scaling

    beyond = recommend(LLAMA_8B, H200, EXAMPLE, overrides={"data.max_length": 200_000})
    assert beyond.config.rope_scaling is None
    assert "stretched before" in beyond.reasons["rope_scaling"].why


@pytest.mark.parametrize(
    ("count", "epochs", "batch"),
    [(None, 1, 16), (50_000, 1, 16), (2_000, 2, 16), (1_000, 3, 16), (230, 3, 4), (50, 3, 4), (3, 3, 2), (1, 3, 1)],
)
def test_effective_batch_by_rows(count: int | None, epochs: float, batch: int) -> None:
    assert effective_batch(count, epochs) == batch


def test_packed_sequences_are_counted_by_the_rows_in_them() -> None:
    from dataclasses import replace

    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import EXAMPLE, RTX_4090

    plan = recommend(LLAMA_8B, replace(RTX_4090, flash_attention=True), EXAMPLE)
    rows_in_one = plan.config.data.max_length * EXAMPLE.rows / EXAMPLE.tokens_at(plan.config.data.max_length)
    assert plan.config.training.attn_implementation == "flash_attention_2"
    assert 16 / 2**0.5 <= plan.config.training.effective_batch_size * rows_in_one <= 16 * 2**0.5
    reason = plan.reasons["training.gradient_accumulation_steps"].why
    assert "packed sequence" in reason
    assert "trained tokens a step" in reason


def test_splits_are_powers_of_two() -> None:
    assert micro_batches(16) == [1, 2, 4, 8, 16]
    assert micro_batches(1) == [1]
    assert micro_batches(12) == [1, 2, 4]


@pytest.mark.parametrize(("count", "epochs"), [(None, 1), (50_000, 1), (10_000, 1), (9_999, 2), (2_000, 2), (241, 3)])
def test_epochs_by_rows(count: int | None, epochs: int) -> None:
    assert recommended_epochs(count) == epochs


@pytest.mark.parametrize(
    ("count", "share"), [(None, 0.05), (100, 0.1), (5_000, 0.05), (50_000, 0.02), (1_000_000, 0.001)]
)
def test_held_out_share_by_rows(count: int | None, share: float) -> None:
    assert recommended_eval_fraction(count) == share


def test_eager_only_where_scores_are_capped() -> None:
    assert needs_eager(model("gemma-2-2b-it"))
    assert not needs_eager(LLAMA_8B)


def test_no_key_is_decided_twice() -> None:
    keys = [key for rule in SFT_RULES.rules for key in rule.keys]
    assert len(keys) == len(set(keys))


def test_the_rank_follows_trained_tokens() -> None:
    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import H200

    def rank(count: int, goal: Goal) -> int:
        return recommend(SMOLLM, H200, rows(count, 200), goal=goal).config.lora.r

    assert rank(1_000, "balanced") == 16
    assert rank(10_000, "balanced") == 32
    assert rank(5_000_000, "balanced") == 64
    assert rank(1_000, "best-quality") == 64
    assert rank(5_000_000, "best-quality") == 256
    assert rank(5_000_000, "smallest-memory") == 8


def test_the_task_moves_the_rank() -> None:
    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import H200

    def rank(task: str, count: int = 1_000) -> int:
        plan = recommend(SMOLLM, H200, rows(count, 200), overrides={"data.task": task})
        assert "data.task" in plan.reasons
        return plan.config.lora.r

    assert [rank(task) for task in ("style", "task", "domain")] == [8, 16, 32]
    assert rank("domain", 5_000_000) == 128
    reason = recommend(SMOLLM, H200, rows(1_000, 200), overrides={"data.task": "domain"}).reasons["lora.r"]
    assert "a new domain or language" in reason.why


def test_gemma_3_is_not_trained_in_fp16() -> None:
    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import EXAMPLE, RTX_4090, T4

    gemma = model("gemma-3-1b-it")
    plan = recommend(gemma, T4, EXAMPLE)
    assert plan.config.training.precision == "fp32"
    assert "leave fp16's range" in plan.reasons["training.precision"].why
    assert "32-bit" in plan.reasons["method"].why
    assert recommend(gemma, RTX_4090, EXAMPLE).config.training.precision == "bf16"


def test_flash_attention_2_only_where_the_model_can() -> None:
    from dataclasses import replace

    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import EXAMPLE, H200

    card = replace(H200, flash_attention=True)
    sinks = replace(LLAMA_8B, model_type="gpt_oss", architecture="GptOssForCausalLM")
    assert recommend(LLAMA_8B, card, EXAMPLE).config.training.attn_implementation == "flash_attention_2"
    assert recommend(sinks, card, EXAMPLE).config.training.attn_implementation == "eager"


def test_experts_are_said_to_have_no_adapter() -> None:
    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import EXAMPLE, H200

    reason = recommend(model("qwen3-30b-a3b"), H200, EXAMPLE).reasons["lora.target_modules"]
    assert "95 % of this model's parameters are experts" in reason.why
    assert reason.confidence == "medium"


def test_nothing_is_said_to_fit_where_nothing_does() -> None:
    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import EXAMPLE, TINY_CARD

    plan = recommend(LLAMA_8B, TINY_CARD, EXAMPLE)
    assert plan.estimate.fits == "no"
    for key in ("lora.r", "training.optim", "training.activation_offloading"):
        assert "nearest" in plan.reasons[key].why


def test_an_adapters_values_are_without_effect_where_there_is_none() -> None:
    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import EXAMPLE, H200

    reasons = recommend(SMOLLM, H200, EXAMPLE, overrides={"method": "full"}).reasons
    for key in ("lora.r", "lora.lora_alpha", "lora.target_modules", "data.task"):
        assert reasons[key].why.startswith("Without effect")


def test_rank_stabilised_scaling_from_the_rank_where_the_update_would_vanish() -> None:
    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import EXAMPLE, H200

    def scale(r: int, **more: object) -> tuple[bool, float]:
        lora = recommend(SMOLLM, H200, EXAMPLE, overrides={"lora.r": r, **more}).config.lora
        return lora.use_rslora, lora.lora_alpha / (lora.r**0.5 if lora.use_rslora else lora.r)

    assert scale(512) == (False, 32 / 512)
    assert scale(1024)[0]
    assert scale(1024)[1] == pytest.approx(32 / 512 / 2**0.5, rel=0.01)
    assert scale(64, **{"lora.use_rslora": True})[1] == pytest.approx(scale(64)[1])


def test_tf32_from_ampere_on() -> None:
    from presets.errors import InputError
    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import CPU, EXAMPLE, H200, T4

    assert [recommend(SMOLLM, device, EXAMPLE).config.training.tf32 for device in (H200, T4, CPU)] == [
        True, False, False,
    ]  # fmt: skip
    for device in (T4, CPU):
        with pytest.raises(InputError, match="has no TF32"):
            recommend(SMOLLM, device, EXAMPLE, overrides={"tf32": True})


def test_lora_plus_needs_an_adapter() -> None:
    from presets.errors import InputError
    from recommender.plan.recommend import recommend
    from tests.unit.plan.facts import EXAMPLE, H200

    plan = recommend(SMOLLM, H200, EXAMPLE, overrides={"loraplus_lr_ratio": 16})
    assert "With 16, B learns that many times as fast" in plan.reasons["training.loraplus_lr_ratio"].why
    with pytest.raises(InputError, match="method full trains none"):
        recommend(SMOLLM, H200, EXAMPLE, overrides={"loraplus_lr_ratio": 16, "method": "full"})
