"""What the worker builds, held in a child process because it needs torch."""

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest

from recommender.config.io import dump_config
from recommender.config.schema import FinetuneConfig
from recommender.machine.facts import Device
from tests.fixtures.child import run_python
from trainer.process.children import ask
from trainer.run.folder import RunFolder

pytestmark = pytest.mark.torch

MakeConfig = Callable[..., FinetuneConfig]

LAYERS = """
import json, sys
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.model.reader import read_model
from trainer.worker.setup.build import load_model
config = FinetuneConfig(model=sys.argv[1], method="qlora", quantization=Quantization(bits=4))
model = load_model(config, read_model(sys.argv[1]), cuda=False)
kinds = [type(module).__name__ for module in model.modules()]
print(json.dumps({"4bit": kinds.count("Linear4bit"), "head": type(model.lm_head).__name__}))
"""

DTYPES = """
import json, torch
from trainer.worker.setup.build import settle_trainable_dtypes
answer = {}
for precision in ("bf16", "fp16", "fp32"):
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)).to(torch.bfloat16)
    model[0].requires_grad_(False)
    settle_trainable_dtypes(model, precision)
    answer[precision] = [str(next(layer.parameters()).dtype) for layer in model]
print(json.dumps(answer))
"""


EXPERTS = """
import json, sys, torch
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM
from trainer.worker.setup.restore import load_whole
size = dict(vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2)
answer = {}
for name, model in (
    ("experts", MixtralForCausalLM(MixtralConfig(**size, num_local_experts=2))),
    ("dense", LlamaForCausalLM(LlamaConfig(**size))),
):
    model.save_pretrained(Path(sys.argv[1]) / name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(1.0)
    answer[name] = [load_whole(model, Path(sys.argv[1]) / name)]
    answer[name].append(all(torch.equal(value, before[key]) for key, value in model.state_dict().items()))
print(json.dumps(answer))
"""


def test_the_experts_of_a_mixture_come_back_from_a_checkpoint(tmp_path: Path) -> None:
    assert run_python(EXPERTS, str(tmp_path)) == {"experts": [True, True], "dense": [False, False]}


def test_qlora_holds_the_decoder_in_four_bits_and_the_head_as_it_is(tiny_model: Path) -> None:
    assert run_python(LAYERS, str(tiny_model)) == {"4bit": 14, "head": "Linear"}


def test_fp16_and_fp32_train_fp32_weights_and_leave_frozen_ones_alone() -> None:
    frozen = "torch.bfloat16"
    assert run_python(DTYPES) == {
        "bf16": [frozen, "torch.bfloat16"],
        "fp16": [frozen, "torch.float32"],
        "fp32": [frozen, "torch.float32"],
    }


def test_a_package_that_is_not_there_is_named_with_what_to_do(make_config: MakeConfig, tmp_path: Path) -> None:
    if find_spec("flash_attn"):
        pytest.skip("flash-attn is installed")
    folder = RunFolder(tmp_path)
    text = dump_config(make_config(training__attn_implementation="flash_attention_2"))
    for path in (folder.config, folder.effective_config):
        path.write_text(text)
    folder.plan.write_text(json.dumps({"device": asdict(Device("cpu", "a CPU", 1, 1))}))
    answer = ask("trainer.worker", str(tmp_path), "--preflight-only", device=None)
    assert answer.code == 2
    assert answer.document is not None
    assert "flash_attention_2" in answer.document["reason"]
    assert "training.attn_implementation to sdpa" in answer.document["remedy"]
