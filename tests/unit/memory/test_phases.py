"""What a run needs outside its steps."""

from __future__ import annotations

import pytest

from recommender.config.schema import FinetuneConfig
from recommender.estimate.estimate import estimate
from recommender.machine.devices import device_from_catalogue
from tests.unit.memory.cases import CPU, llama, lora, qlora

A100 = device_from_catalogue("A100 PCIe 80GB")
MODEL = llama()
DOWN, SQUARE = 4096 * 14336, 4096**2
WHOLE_16_BIT = 2 * MODEL.total_parameters


def phases(config: FinetuneConfig, stack: str = "trl") -> dict[str, int]:
    return dict(estimate(config, MODEL, A100, stack=stack).phases)


def test_phases_come_in_the_order_of_a_run() -> None:
    order = ["load", "initialisation", "forward", "backward", "optimizer", "evaluation", "save", "merge"]
    assert list(phases(qlora())) == order


def test_quantising_holds_one_layer_in_sixteen_bits() -> None:
    answer = estimate(qlora(), MODEL, A100)
    assert answer.phases["load"] == answer.parts["weights"] + 2 * DOWN
    assert phases(lora())["load"] == WHOLE_16_BIT


def test_an_upcast_holds_the_embedding_twice() -> None:
    answer = estimate(qlora(), MODEL, A100, stack="hf-trainer")
    assert answer.phases["load"] == answer.parts["weights"] + 2 * MODEL.embedding_parameters


@pytest.mark.parametrize(
    ("kind", "nbytes"),
    [
        ("gaussian", 0),
        ("pissa", 4 * (4 * DOWN + SQUARE)),
        ("pissa_niter_16", 12 * DOWN),
        ("olora", 4 * (3 * DOWN + SQUARE)),
        ("loftq", 4 * (5 * DOWN + SQUARE)),
    ],
)
def test_initialisation_by_decomposition_holds_fp32_copies_of_the_largest_layer(kind: str, nbytes: int) -> None:
    plain, decomposed = phases(lora()), phases(lora(lora__init_lora_weights=kind))
    assert decomposed["initialisation"] - plain["initialisation"] == nbytes


def test_olora_unpacks_a_quantised_layer() -> None:
    plain, decomposed = phases(qlora()), phases(qlora(lora__init_lora_weights="olora"))
    assert decomposed["initialisation"] - plain["initialisation"] == 4 * (3 * DOWN + SQUARE) + 2 * DOWN


def test_where_the_beginning_is_the_worst_the_plan_pays_for_it() -> None:
    small = {"data__max_length": 64, "training__gradient_accumulation_steps": 1, "training__optim": "sgd"}
    plain = estimate(lora(**small), MODEL, A100)
    begins = estimate(lora(**small, lora__init_lora_weights="loftq"), MODEL, A100)
    assert "initialisation" not in plain.parts
    assert begins.parts["initialisation"] > 0
    assert begins.parts["gradients"] == begins.parts["activations"] == begins.parts["loss"] == 0
    assert begins.peak.allocated_bytes == begins.phases["initialisation"] > plain.peak.allocated_bytes


def test_evaluation_needs_no_gradients_and_less_than_training() -> None:
    for stack in ("trl", "hf-trainer", "hf-trainer+liger"):
        each = phases(qlora(data__max_length=4096), stack)
        assert each["save"] < each["evaluation"] < max(each["forward"], each["backward"])


def test_merging_needs_the_whole_base_in_sixteen_bits() -> None:
    assert phases(qlora())["merge"] > WHOLE_16_BIT > phases(qlora())["save"]
    assert phases(qlora(method="full", quantization__bits=None))["merge"] == 0


def test_a_cpu_has_phases_too() -> None:
    assert estimate(lora(training__precision="fp32"), MODEL, CPU).phases["load"] == 4 * MODEL.total_parameters
