"""Tapes learned from cut models, against traces of the whole ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recommender.config.schema import FinetuneConfig
from recommender.machine.devices import device_from_catalogue
from recommender.memory.learned.store import keep_tape
from recommender.memory.learned.tape import Tape, read_tape
from recommender.memory.price import price
from recommender.memory.stacks import STACKS
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.families import spec_from_config
from recommender.model.from_anatomy import with_anatomy
from recommender.model.spec import ModelSpec
from trainer.anatomy.learn import learn
from trainer.learn.ask import order_of
from trainer.learn.cut import cut_of
from trainer.learn.learn import Learner
from trainer.trace.__main__ import Speaker, trace_order
from trainer.trace.model import build_base
from trainer.trace.order import make_order

NEOX = {
    "model_type": "gpt_neox",
    "architectures": ["GPTNeoXForCausalLM"],
    "hidden_size": 256,
    "num_hidden_layers": 9,
    "intermediate_size": 1024,
    "num_attention_heads": 4,
    "vocab_size": 5000,
}
WINDOWS = {
    "model_type": "cohere2",
    "architectures": ["Cohere2ForCausalLM"],
    "hidden_size": 256,
    "num_hidden_layers": 8,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "sliding_window": 300,
    "vocab_size": 5000,
}
DELTA = {
    "model_type": "qwen3_5_text",
    "architectures": ["Qwen3_5ForCausalLM"],
    "hidden_size": 1024,
    "num_hidden_layers": 6,
    "intermediate_size": 3584,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "layer_types": ["linear_attention"] * 5 + ["full_attention"],
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 16,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "vocab_size": 32000,
}


class Silent(Speaker):
    """Tells nothing."""

    def progress(self, phase: str, done: int, total: int) -> None:
        """Nothing."""


def spec_of(document: dict[str, Any]) -> ModelSpec:
    """A model with what its class says."""
    spec = spec_from_config(document, "small")
    return with_anatomy(spec, learn(document))


def case_of(
    spec: ModelSpec, rows: int, length: int, r: int = 24, stack: str = "trl", bits: int | None = 4, **training: Any
) -> Workload:
    """NF4 with this project's own trainer, or 16 bits, or another stack."""
    config = FinetuneConfig.model_validate(
        {
            "model": "small",
            "method": "qlora" if bits else "lora",
            "quantization": {"bits": bits},
            "lora": {"r": r},
            "data": {"max_length": length, "packing": False},
            "training": {"per_device_train_batch_size": rows, **training},
        }
    )
    return resolve_workload(config, spec, device_from_catalogue("A100 PCIe 80GB"), None, STACKS[stack])


def learned(case: Workload) -> Tape:
    """The tape, written and read again, in the store."""
    document = json.loads(json.dumps(Learner(order_of(case), lambda *_: None).learn().document()))
    keep_tape(case, document)
    return read_tape(document)


def traced(case: Workload) -> int:
    """Bytes that the whole model's trace says."""
    return int(trace_order(make_order(case, dict(case.model.config or {})), Silent())["allocated"])


@pytest.mark.slow
@pytest.mark.parametrize("document", [NEOX, WINDOWS], ids=["gpt_neox", "cohere2"])
@pytest.mark.parametrize(
    "training", [{}, {"gradient_checkpointing": False}, {"gradient_accumulation_steps": 4}], ids=str
)
def test_a_learned_formula_is_the_trace_of_the_whole_model(document: dict[str, Any], training: dict[str, Any]) -> None:
    """At depths, lengths on both sides of a window, rows and ranks that nothing was learned at: within one percent."""
    spec = spec_of(document)
    learned(case_of(spec, 2, 512, **training))
    for rows, length, r in ((3, 777, 8), (1, 1000, 64), (1, 200, 16), (6, 130, 24)):
        case = case_of(spec, rows, length, r, **training)
        assert price(case).allocated == pytest.approx(traced(case), rel=0.01)


@pytest.mark.slow
def test_a_loop_over_chunks_of_a_row_is_learned_as_sums() -> None:
    """A gated delta rule in PyTorch's own operations: their number depends on the length."""
    spec = spec_of(DELTA)
    tape = learned(case_of(spec, 2, 128, bits=None))
    assert tape.sums
    for rows, length in ((3, 400), (1, 300)):
        case = case_of(spec, rows, length, bits=None)
        assert price(case).allocated == pytest.approx(traced(case), rel=0.01)


def test_a_cut_keeps_the_first_the_last_two_and_one_of_each_kind() -> None:
    order = order_of(case_of(spec_of(WINDOWS), 2, 512))
    model = build_base(order)
    cut = cut_of(model)
    # Every fourth layer sees all: 1 stands for 2, 4 and 5, 3 for itself.
    assert cut.kept == (0, 1, 3, 6, 7)
    assert cut.sequence == (0, 1, 1, 2, 1, 1, 3, 4)
    deeper = cut.deeper
    assert deeper is not None
    assert deeper.kept == (0, 1, 2, 3, 6, 7)
