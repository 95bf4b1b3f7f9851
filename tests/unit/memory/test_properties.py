"""What holds for every model, configuration and device."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presets.errors import InputError
from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.synthetic import synthetic_profile
from recommender.estimate.estimate import estimate
from recommender.estimate.types import Estimate
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from tests.unit.memory.cases import CPU, DEVICES, STACKS, configs, llama, lora, models, qlora

ROWS = synthetic_profile(500, 300)
devices, stacks = st.sampled_from(DEVICES), st.sampled_from(STACKS)
MANY = settings(max_examples=150, deadline=None)


def priced(config: FinetuneConfig, model: ModelSpec, device: Device, stack: str) -> Estimate:
    return estimate(config, model, device, stack=stack)


@MANY
@given(configs(), models(), devices, stacks, st.booleans())
def test_every_configuration_has_a_sound_price(
    config: FinetuneConfig, model: ModelSpec, device: Device, stack: str, with_data: bool
) -> None:
    try:
        answer = estimate(config, model, device, ROWS if with_data else None, stack=stack)
    except InputError as error:
        assert "target_modules" in error.message
        return
    peak = answer.peak
    assert sum(answer.parts.values()) == peak.process_bytes
    assert all(isinstance(part, int) and part >= 0 for part in answer.parts.values())
    assert 0 < peak.allocated_bytes <= peak.reserved_bytes <= peak.process_bytes
    during = {name: nbytes for name, nbytes in answer.phases.items() if name != "merge"}
    assert max(during.values()) == peak.allocated_bytes
    assert min(during.values()) > 0
    assert peak.low_bytes <= peak.process_bytes <= peak.high_bytes
    assert (answer.fits == "yes") == (peak.most_bytes <= device.free_bytes)
    assert (answer.fits == "no") == (peak.needed_bytes > device.free_bytes)
    assert 0 <= peak.cache_bytes <= answer.parts["allocator"]
    assert answer.trainable_parameters > 0
    assert answer.disk_bytes >= answer.checkpoint_bytes >= answer.adapter_bytes > 0
    if answer.time is not None:
        assert answer.time.step_seconds > 0
        assert answer.time.tokens_per_second > 0
        assert (answer.time.total_seconds is not None) == with_data


GROWTH: dict[str, Any] = {
    "training.per_device_train_batch_size": lambda config: config.training.per_device_train_batch_size,
    "data.max_length": lambda config: config.data.max_length,
    "lora.r": lambda config: config.lora.r,
}


@MANY
@given(configs(), models(), devices, stacks, st.sampled_from(sorted(GROWTH)), st.integers(1, 1000))
def test_memory_never_falls_when_batch_length_or_rank_grows(
    config: FinetuneConfig, model: ModelSpec, device: Device, stack: str, key: str, more: int
) -> None:
    value = min(GROWTH[key](config) + more, 4096 if key == "lora.r" else 10**9)
    try:
        before = priced(config, model, device, stack)
    except InputError:
        return
    after = priced(with_values(config, {key: value}), model, device, stack)
    assert after.peak.process_bytes >= before.peak.process_bytes
    assert after.peak.allocated_bytes >= before.peak.allocated_bytes


@pytest.mark.slow
@MANY
@given(configs(), devices, stacks, st.integers(1, 80), st.integers(1, 64), st.integers(1, 20))
def test_memory_never_falls_when_layers_or_width_grow(
    config: FinetuneConfig, device: Device, stack: str, layers: int, width: int, more: int
) -> None:
    def model(extra_layers: int, extra_width: int) -> ModelSpec:
        heads = width + extra_width
        return llama(
            num_hidden_layers=layers + extra_layers,
            hidden_size=64 * heads,
            num_attention_heads=heads,
            num_key_value_heads=1,
            intermediate_size=160 * heads,
            vocab_size=32000,
        )

    before = priced(config, model(0, 0), device, stack).peak.process_bytes
    assert priced(config, model(more, 0), device, stack).peak.process_bytes >= before
    assert priced(config, model(0, more), device, stack).peak.process_bytes >= before


@MANY
@given(models(), devices, stacks, st.sampled_from(("bf16", "fp16", "fp32")))
def test_quantising_never_raises_the_weights(model: ModelSpec, device: Device, stack: str, precision: str) -> None:
    def weights(bits: int | None, *, double: bool = True) -> int:
        config = lora() if bits is None else qlora(quantization__bits=bits, quantization__double_quant=double)
        config = with_values(config, {"training.precision": precision, "lora.target_modules": "all-linear"})
        return priced(config, model, device, "hf-trainer-noupcast" if stack != "trl" else stack).parts["weights"]

    plain, four, eight = weights(None), weights(4), weights(8)
    assert weights(4) <= weights(4, double=False) <= eight <= plain
    assert four < plain


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_ten_million_tokens_are_an_honest_no(device: Device) -> None:
    assert priced(qlora(data__max_length=10_000_000), llama(), device, "trl").fits == "no"


def test_a_cpu_has_no_context() -> None:
    answer = priced(lora(training__precision="fp32"), llama(), CPU, "trl")
    assert answer.parts["context"] == answer.parts["workspace"] == 0


def test_a_cpu_is_priced_as_its_worst_steps_were_measured() -> None:
    """SmolLM2-135M, LoRA of rank 16 in fp32: resident growth of one worst step, MiB (2 cores of an AMD EPYC)."""
    from recommender.model.reader import read_model

    smol = read_model("smollm2-135m-instruct", offline=True)
    for rows, length, checkpointing, measured in (
        (1, 70, False, 933),
        (2, 70, False, 1269),
        (1, 490, False, 2446),
        (2, 490, False, 3647),
        (1, 490, True, 1513),
    ):
        changes = {
            "training__precision": "fp32",
            "training__per_device_train_batch_size": rows,
            "training__gradient_checkpointing": checkpointing,
            "data__max_length": length,
        }
        peak = priced(lora(**changes), smol, CPU, "trl").peak
        assert peak.low_bytes <= measured * 2**20 <= peak.high_bytes, (rows, length, peak, measured)
        assert abs(peak.process_bytes / (measured * 2**20) - 1) <= 0.2
