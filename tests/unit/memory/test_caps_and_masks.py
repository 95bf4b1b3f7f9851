"""Soft-capped logits, masks of sliding windows, trained experts: what only some families hold."""

from __future__ import annotations

from typing import Any

import pytest

from recommender.config.schema import FinetuneConfig
from recommender.machine.devices import device_from_catalogue
from recommender.memory.loss import evaluation_bytes, loss_bytes
from recommender.memory.price import price
from recommender.memory.stacks import STACKS
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.families import spec_from_config

SIZES = {
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "vocab_size": 32000,
}
LENGTH = 1024


def case(
    family: str, stack: str = "hf-trainer-noupcast", model: dict[str, Any] | None = None, **training: Any
) -> Workload:
    """A QLoRA case of a small model."""
    method = training.pop("method", "qlora")
    config = FinetuneConfig.model_validate(
        {
            "model": family,
            "method": method,
            "quantization": {"bits": 4 if method == "qlora" else None},
            "data": {"max_length": LENGTH, "packing": False},
            "training": {"attn_implementation": "eager", "gradient_accumulation_steps": 1, **training},
        }
    )
    spec = spec_from_config({**SIZES, **(model or {}), "model_type": family}, family)
    return resolve_workload(config, spec, device_from_catalogue("A100 PCIe 80GB"), None, STACKS[stack])


@pytest.mark.parametrize("stack", ["hf-trainer-noupcast", "hf-trainer"])
def test_capped_logits_keep_tanh_s_output_in_the_logits_dtype(stack: str) -> None:
    capped, plain = case("gemma2", stack), case("gemma2", stack, {"final_logit_softcapping": None})
    assert loss_bytes(capped) - loss_bytes(plain) == LENGTH * SIZES["vocab_size"] * 2


def test_without_autocast_the_cap_is_in_fp32_as_the_upcast_head_is() -> None:
    capped, plain = (
        case("gemma2", "hf-trainer", cap, precision="fp16") for cap in ({}, {"final_logit_softcapping": None})
    )
    assert loss_bytes(capped) - loss_bytes(plain) == LENGTH * SIZES["vocab_size"] * 4


@pytest.mark.parametrize("stack", ["trl", "hf-trainer+liger"])
def test_tiles_and_chunks_are_capped_in_place(stack: str) -> None:
    assert loss_bytes(case("gemma2", stack)) == loss_bytes(case("gemma2", stack, {"final_logit_softcapping": None}))


def test_an_evaluation_keeps_no_tanh() -> None:
    capped, plain = case("gemma2"), case("gemma2", model={"final_logit_softcapping": None})
    assert evaluation_bytes(capped, loss_bytes(capped)) == evaluation_bytes(plain, loss_bytes(plain))


def test_capped_scores_are_kept_in_every_layer() -> None:
    capped, plain = (
        case("gemma2", model=cap, gradient_checkpointing=False) for cap in ({}, {"attn_logit_softcapping": None})
    )
    scores = SIZES["num_attention_heads"] * LENGTH**2 * 2
    assert price(capped).allocated - price(plain).allocated == SIZES["num_hidden_layers"] * scores


def test_rows_as_long_as_a_sliding_window_get_a_mask_under_sdpa() -> None:
    short, long = (
        case("mistral", model={"sliding_window": window}, attn_implementation="sdpa") for window in (LENGTH + 1, LENGTH)
    )
    assert price(long).allocated > price(short).allocated
    terms = price(long).parts["activations"] - price(short).parts["activations"]
    # The mask of booleans and the bias that a layer makes of it, at least.
    assert price(short).parts["loss"] or terms >= 3 * LENGTH**2


def test_families_of_two_kinds_of_layers_hold_two_masks() -> None:
    one, two = (case("olmo3", model={"sliding_window": window}, attn_implementation="eager") for window in (None, 512))
    from recommender.memory.layers.attention import mask_bytes
    from recommender.memory.layers.dtypes import Dtypes

    assert mask_bytes(two, Dtypes.of(two)) == 2 * mask_bytes(one, Dtypes.of(one)) > 0


def test_the_embedding_s_gradient_is_not_there_in_the_first_layer_s_pass() -> None:
    from recommender.memory.layers.layer import layer_cost
    from recommender.memory.moments import step_moments

    untied = case("llama", method="full")
    first = next(one for one in step_moments(untied, layer_cost(untied)) if one.name == "first layer")
    whole = untied.model.total_parameters * untied.adapter
    assert first.gradients <= whole - untied.model.embedding_parameters * untied.adapter


def test_trained_experts_leave_gradients_and_keep_their_inputs() -> None:
    from recommender.memory.layers.dtypes import Dtypes
    from recommender.memory.layers.layer import layer_tape

    experts = {"num_local_experts": 8, "num_experts_per_tok": 2}
    trained = case("mixtral", model=experts, method="full")
    ops = {op.name: op for op in layer_tape(trained, Dtypes.of(trained))}
    weights = 8 * SIZES["intermediate_size"] * SIZES["hidden_size"] * trained.adapter
    assert ops["experts.gate_up"].gradient == 2 * weights
    assert ops["experts.down"].gradient == weights
