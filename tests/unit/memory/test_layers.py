"""Single terms of a decoder layer, by the formulas written out."""

from __future__ import annotations

import pytest

from recommender.memory.fitted import LEFT, LEFT_AT_MOST
from recommender.memory.layers.attention import _head_norms
from recommender.memory.layers.dtypes import Dtypes
from recommender.memory.layers.layer import layer_tape
from recommender.memory.layers.linear import Input, Linears
from recommender.memory.stacks import STACKS
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.families import spec_from_config
from tests.unit.memory.cases import CARDS, LLAMA_8B, llama, lora, qlora

A100 = CARDS[2]
QUERY, KEYS, STREAM = 1000, 250, 77
FP32, HALF = 4, 2


def qwen3(method: str) -> Workload:
    spec = spec_from_config({**LLAMA_8B, "model_type": "qwen3"}, "qwen3")
    config = qlora(method=method, quantization__bits=None)
    return resolve_workload(config, spec, A100, None, STACKS["trl"])


@pytest.mark.parametrize(("family", "count"), [("olmo2", 2), ("olmoe", 2), ("gemma2", 4)])
def test_a_layer_has_its_family_s_norms_however_wide_those_of_its_heads_are(family: str, count: int) -> None:
    changes = {"model_type": family, "num_key_value_heads": 32, "num_local_experts": 8, "num_experts_per_tok": 2}
    spec = spec_from_config({**LLAMA_8B, **changes}, family)
    workload = resolve_workload(lora(), spec, A100, None, STACKS["trl"])
    assert [op.name for op in layer_tape(workload, Dtypes.of(workload))].count("norm") == count


def test_norms_of_heads_keep_their_input_in_fp32_and_once_more_where_they_are_trained() -> None:
    (adapted,) = _head_norms(qwen3("lora"), HALF, QUERY, KEYS, STREAM)
    assert adapted.kept == FP32 * (QUERY + KEYS)
    assert adapted.forward == 2 * FP32 * QUERY
    assert adapted.backward == STREAM + 3 * FP32 * QUERY
    (trained,) = _head_norms(qwen3("full"), HALF, QUERY, KEYS, STREAM)
    assert trained.kept == (FP32 + HALF) * (QUERY + KEYS)
    assert _head_norms(resolve_workload(lora(), llama(), A100, None, STACKS["trl"]), HALF, QUERY, KEYS, STREAM) == []


def test_an_input_that_nothing_keeps_is_alive_while_its_module_runs() -> None:
    workload = resolve_workload(qlora(data__max_length=512), llama(), A100, None, STACKS["trl"])
    linears = Linears(workload, Dtypes.of(workload))
    assert linears.alive(Input(4096, HALF)) == workload.tokens * 4096 * HALF
    assert linears.alive(Input(4096, HALF, kept=True)) == 0


def test_a_base_that_comes_in_four_bits_is_priced_in_four() -> None:
    config = {**LLAMA_8B, "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    spec = spec_from_config(config, "llama")
    assert spec.quantization == "bnb-4bit"
    assert resolve_workload(qlora(quantization__bits=8), spec, A100, None, STACKS["trl"]).bits == 4
    assert resolve_workload(qlora(quantization__bits=8), llama(), A100, None, STACKS["trl"]).bits == 8


def test_what_mixed_lengths_leave_is_as_it_was_measured() -> None:
    assert pytest.approx((0.6, 0.97)) == (LEFT, LEFT_AT_MOST)
