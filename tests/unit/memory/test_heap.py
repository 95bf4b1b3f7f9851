"""A CPU's estimate: what TRL's loss takes there, adapters' dtypes, and what a process takes beside PyTorch's blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recommender.config.schema import FinetuneConfig
from recommender.memory.heap import HALF_KERNELS, LIBRARIES, MOST, TRIMMED, beside_blocks
from recommender.memory.loss import loss_terms
from recommender.memory.price import price
from recommender.memory.stacks import find_stack
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.reader import read_model
from recommender.model.spec import ModelSpec
from tests.unit.memory.cases import CPU, llama, lora, qlora
from tests.unit.plan.facts import RTX_4090

MIB = 2**20
SMOL = read_model("smollm2-135m-instruct", offline=True)
TINY = llama(hidden_size=64, intermediate_size=128, num_hidden_layers=2, vocab_size=512)


def case(config: FinetuneConfig, model: ModelSpec = SMOL, device: Any = CPU) -> Workload:
    return resolve_workload(config, model, device, None, find_stack("trl"))


def settings(method: str, **changes: Any) -> FinetuneConfig:
    """Of a method, with AdamW as PyTorch has it."""
    bits = {} if method == "qlora" else {"quantization__bits": None}
    return qlora(method=method, training__optim="adamw_torch", **bits, **changes)


def fp32(**changes: Any) -> FinetuneConfig:
    return lora(training__precision="fp32", **changes)


@pytest.mark.parametrize(
    ("precision", "each"), [("fp32", 4 + 7 * 4 + 1), ("bf16", 2 + 7 * 4 + 1)], ids=["fp32", "bf16"]
)
def test_the_loss_takes_seven_temporaries_and_a_mask_beside_a_tile(precision: str, each: int) -> None:
    """Measured by a wrapped malloc: 33.4 and 31.1 bytes an element of a tile, hidden states and statistics included."""
    terms = dict(loss_terms(case(lora(training__precision=precision, data__max_length=1024))))
    assert terms["a tile of logits"] + terms["fp32 temporaries of a tile"] == 1024 * 32768 * each
    assert 1 <= sum(terms.values()) / (1024 * 32768 * each) < 1.02


def test_of_a_tiles_buffer_only_touched_pages_count_on_a_cpu() -> None:
    """512 columns of 32768 in fp32 are 2 KiB of 128 a row: one page."""
    config = fp32(data__max_length=1024, training__per_device_train_batch_size=1)
    assert dict(loss_terms(case(config, TINY)))["a tile of logits"] == 1024 * 4096
    on_card = dict(loss_terms(case(config, TINY, RTX_4090)))["a tile of logits"]
    assert on_card == 1024 * 32768 * 4


@pytest.mark.parametrize(("config", "each"), [(lora(), 4), (qlora(), 2), (fp32(), 4)], ids=["16-bit", "NF4", "fp32"])
@pytest.mark.parametrize("device", [CPU, RTX_4090], ids=["CPU", "GPU"])
def test_adapters_are_in_bf16_over_a_quantised_base_alone(config: FinetuneConfig, each: int, device: Any) -> None:
    """As `trainer.worker` builds them: TRL 1.16 casts adapters of a quantised base, PEFT keeps others in fp32."""
    asked = case(config, SMOL, device)
    assert price(asked).parts["adapter"] == each * asked.adapter_parameters


def test_adamw_on_a_cpu_takes_roots_of_one_tensor_at_a_time() -> None:
    """All weights of SmolLM2-135M in fp32, 1 × 128, handed out: 2291 MiB measured, 23 of them libraries'."""
    config = settings("full", training__precision="fp32", data__max_length=128, training__gradient_accumulation_steps=1)
    assert price(case(config)).allocated / MIB == pytest.approx(2291 - 23, rel=0.01)


def test_a_tiny_model_has_little_beside_its_blocks() -> None:
    assert LIBRARIES < beside_blocks(case(fp32(), TINY), 0, 0) < LIBRARIES + MIB
    assert beside_blocks(case(lora(), TINY), 0, 0) == beside_blocks(case(fp32(), TINY), 0, 0) + HALF_KERNELS


def test_what_layers_give_back_is_held_whole_until_the_heap_is_trimmed_then_a_share_then_no_more() -> None:
    of = [beside_blocks(case(fp32(), TINY), layers, 0) for layers in (0, TRIMMED, 4 * TRIMMED, MOST, 4 * MOST)]
    assert of[1] - of[0] == pytest.approx(TRIMMED, rel=0.01)
    assert 0.4 * 3 * TRIMMED < of[2] - of[1] < 0.7 * 3 * TRIMMED
    assert of[3] > of[2] and of[4] - of[3] < MIB


@pytest.mark.parametrize("checkpointing", [True, False])
def test_a_longer_batch_never_seems_to_need_less(checkpointing: bool) -> None:
    """Across the length from which on the loss's blocks have mappings of their own, too."""
    for model in (SMOL, TINY, replace(SMOL, num_layers=2)):
        needs = [
            price(case(fp32(data__max_length=length, training__gradient_checkpointing=checkpointing), model)).process
            for length in range(32, 1100, 32)
        ]
        assert needs == sorted(needs)


@pytest.mark.parametrize(
    ("kind", "precision", "length", "rows", "checkpointing", "truth"),
    [
        ("lora", "fp32", 320, 1, True, 1138.7),
        ("lora", "bf16", 192, 1, False, 805.6),
        ("qlora", "bf16", 128, 2, True, 665.4),
        ("lora", "fp32", 160, 1, False, 1074.5),
        ("full", "bf16", 96, 1, False, 1204.7),
        ("lora", "fp32", 1024, 1, True, 2432.7),
    ],
)
def test_measured_worst_steps_are_inside_the_interval_and_near_its_middle(
    kind: str, precision: str, length: int, rows: int, checkpointing: bool, truth: float
) -> None:
    """SmolLM2-135M, `python -m benchmarks.memory_cpu` on 2 cores of an AMD EPYC; resident growth in MiB."""
    config = settings(
        kind,
        training__precision=precision,
        training__per_device_train_batch_size=rows,
        training__gradient_checkpointing=checkpointing,
        training__gradient_accumulation_steps=1,
        data__max_length=length,
    )
    assert price(case(config)).process / MIB == pytest.approx(truth, rel=0.1)
