"""The trace: what it refuses, what it answers for small models, and how it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from presets.errors import InputError
from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig
from recommender.estimate.estimate import estimate
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Device
from recommender.memory.allocator import block_size
from recommender.model.families import spec_from_config
from recommender.model.spec import ModelSpec
from trainer.trace.ask import TraceCancelled, trace
from trainer.trace.order import Order
from trainer.trace.replay import replay

SMALL = {
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 2,
    "intermediate_size": 1536,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}


def small(**changes: object) -> ModelSpec:
    """A model of two layers."""
    return spec_from_config({**SMALL, **changes}, "small")


def config(method: str = "qlora", bits: int | None = 4, **training: object) -> FinetuneConfig:
    """Two rows of 512 tokens."""
    return FinetuneConfig.model_validate(
        {
            "model": "small",
            "method": method,
            "quantization": {"bits": bits},
            "data": {"max_length": 512, "packing": False},
            "training": {"per_device_train_batch_size": 2, **training},
        }
    )


@pytest.fixture
def device() -> Device:
    """An A100."""
    return device_from_catalogue("A100 PCIe 80GB")


def test_what_the_formula_refuses_the_trace_refuses_with_the_same_words(device: Device) -> None:
    """A form of weights that cannot be trained, and a class that was not asked yet, before any process is started."""
    quantised = replace(small(), unsupported="its weights are quantised.")
    unasked = spec_from_config({"model_type": "qwen3_next", "architectures": ["Qwen3NextForCausalLM"]}, "odd")
    for spec, end in ((quantised, "cannot be used: its weights are quantised."), (unasked, "on this machine yet.")):
        said = []
        for tier in (estimate, trace):
            with pytest.raises(InputError) as refused:
                tier(config(), spec, device)
            said.append(refused.value.message)
        assert said[0] == said[1]
        assert said[0].endswith(end)


def test_what_would_trace_wrong_is_refused_with_the_reason(device: Device) -> None:
    """Activations in host memory, and DoRA on quantised weights."""
    with pytest.raises(InputError, match="host memory"):
        trace(config(activation_offloading=True), small(), device)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
        ("qwen3_moe", {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256}),
        ("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    ],
)
def test_experts_trace_frozen_and_in_four_bits(device: Device, kind: str, keys: dict[str, int]) -> None:
    """Their products have as many rows as tokens times chosen experts, and PEFT leaves them alone."""
    model, plan = small(model_type=kind, **keys), config(attn_implementation="eager")
    traced, formula = trace(plan, model, device), estimate(plan, model, device)
    assert traced.parts["adapter"] == pytest.approx(formula.parts["adapter"], rel=0.01)
    assert traced.parts["weights"] == pytest.approx(formula.parts["weights"], rel=0.01)
    assert traced.peak.allocated_bytes == pytest.approx(formula.peak.allocated_bytes, rel=0.05)


def test_a_replay_counts_by_category_at_the_first_moment_of_the_peak() -> None:
    """Storage 0 stays, 1 goes before 2 comes; what lies in host memory takes nothing."""
    sizes, categories = [1000, 5000, 7000, 10**9], ["weights", "loss", "activations", "host"]
    levels = replay([1, 0, 2, -2, 4, 3], sizes, categories, expandable=True, empties_cache=False, ignored="host")
    assert levels.parts == {"weights": block_size(1000), "activations": block_size(7000)}
    assert sum(levels.parts.values()) == levels.allocated


@pytest.mark.torch
def test_a_cancelled_trace_says_so(device: Device) -> None:
    """Its process is ended."""
    with pytest.raises(TraceCancelled, match="cancelled"):
        trace(config(), small(), device, cancelled=lambda: True)


@pytest.mark.torch
def test_a_trace_answers_like_the_formula_with_parts_that_add_up(device: Device) -> None:
    """In a process of its own, saying how far it is."""
    seen: list[tuple[str, int, int]] = []
    answer = trace(config(), small(), device, progress=lambda *step: seen.append(step))
    assert answer.basis == "trace"
    assert sum(answer.parts.values()) == answer.peak.process_bytes
    known = answer.peak.allocated_bytes
    assert sum(v for k, v in answer.parts.items() if k not in {"allocator", "context"}) == known
    formula = estimate(config(), small(), device)
    assert known == pytest.approx(formula.peak.allocated_bytes, rel=0.05)
    assert seen[0][0] == "building"
    assert seen[-1][1] <= seen[-1][2]


def _order(configuration: FinetuneConfig, spec: ModelSpec, device: Device, stack: str = "trl") -> Order:
    from recommender.memory.stacks import find_stack
    from recommender.memory.workload import resolve_workload
    from trainer.trace.architecture import architecture_of
    from trainer.trace.order import make_order

    order = make_order(resolve_workload(configuration, spec, device, None, find_stack(stack)), architecture_of(spec))
    assert Order.loads(order.dumps()) == order
    return order


def _levels(order: Order) -> dict[str, int]:
    from trainer.trace.__main__ import Speaker, trace_order

    document = trace_order(order, Speaker())
    assert sum(document["parts"].values()) == document["allocated"] <= document["reserved"]
    return {**document["parts"], "allocated": document["allocated"], "host": document["host"]}


@pytest.mark.torch
@pytest.mark.parametrize("stack", ["trl", "hf-trainer", "hf-trainer-noupcast", "hf-trainer-fp32", "hf-trainer+liger"])
def test_every_stack_traces(device: Device, stack: str) -> None:
    """With its own loss: only full logits hold three fp32 copies of them."""
    levels = _levels(_order(config(), small(), device, stack))
    logits = 2 * 512 * 32000 * 4
    assert (levels.get("loss", 0) > 2 * logits) == (stack not in {"trl", "hf-trainer+liger"})


@pytest.mark.torch
def test_methods_and_optimizers_hold_what_they_must(device: Device) -> None:
    """Weights shrink with the bits, and paged states leave the device."""
    whole = _levels(_order(config("lora", None), small(), device))
    eight = _levels(_order(config("qlora", 8), small(), device))
    four = _levels(_order(config("qlora", 4), small(), device))
    assert four["weights"] < eight["weights"] < whole["weights"]
    full = _levels(_order(config("full", None, optim="paged_adamw_32bit"), small(), device))
    assert full.get("optimizer", 0) < full["host"]
    assert full["host"] > 2 * 4 * small().total_parameters * 0.9


@pytest.mark.torch
def test_another_model_than_the_priced_one_is_refused(device: Device) -> None:
    """Transformers' class must have as many parameters as were counted."""
    from dataclasses import replace

    from trainer.trace.model import build_model

    order = replace(_order(config(), small(), device), total_parameters=5)
    with pytest.raises(InputError, match="another model"):
        build_model(order)


@pytest.mark.torch
@pytest.mark.parametrize(
    "raw",
    [
        {"model_type": "qwen2"},
        {"model_type": "qwen3", "head_dim": 64},
        {"model_type": "mistral"},
        {"model_type": "gemma2", "head_dim": 64, "tie_word_embeddings": True},
        {"model_type": "gemma3_text", "head_dim": 64, "tie_word_embeddings": True},
        {"model_type": "phi3"},
        {"model_type": "olmo2"},
        {"model_type": "granite"},
    ],
    ids=lambda raw: str(raw["model_type"]),
)
def test_dense_families_trace_close_to_the_formula(device: Device, raw: dict[str, object]) -> None:
    """The two tiers are independent of each other; two layers leave nothing to average out."""
    # Gemma 2 caps its scores, which SDPA cannot.
    plan = config(attn_implementation="eager" if raw["model_type"] == "gemma2" else "sdpa")
    levels = _levels(_order(plan, small(**raw), device))
    formula = estimate(plan, small(**raw), device).peak.allocated_bytes
    assert levels["allocated"] == pytest.approx(formula, rel=0.08)


@pytest.mark.torch
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_both_tiers_know_what_eager_attention_converts(device: Device, precision: str) -> None:
    """The scores' gradient comes in fp16 at once, but of bf16 in fp32 first: two bytes a score."""
    plan = with_values(config(attn_implementation="eager", precision=precision), {"data.max_length": 2048})
    levels = _levels(_order(plan, small(), device))
    formula = estimate(plan, small(), device).peak.allocated_bytes
    assert levels["allocated"] == pytest.approx(formula, rel=0.02)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("label", ["SmolLM2-135M 16-bit eager 2x512", "SmolLM2-360M 16-bit eager 1x4096"])
def test_a_public_row_is_met_within_half_a_percent(label: str) -> None:
    """On a T4 with eager attention: allocated memory as others measured it. The long one is all scores and softmax."""
    from benchmarks.memory_trace import allocated
    from benchmarks.reference_rows import load_rows

    row = next(row for row in load_rows() if row.label == f"{label} hf-trainer")
    assert allocated(row) == pytest.approx(row.allocated, rel=0.005)


@pytest.mark.torch
def test_gradients_of_an_earlier_micro_batch_are_there_in_the_next(device: Device) -> None:
    """Accumulation makes the peak larger by no less than the gradients of what is trained in full."""
    one, more = (
        _levels(_order(config("full", None, gradient_accumulation_steps=steps, optim="sgd"), small(), device))
        for steps in (1, 8)
    )
    assert more["allocated"] > one["allocated"]
    assert more["gradients"] >= one.get("gradients", 0)
