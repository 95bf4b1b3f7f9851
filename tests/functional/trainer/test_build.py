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
from recommender.steps import count_steps
from tests.fixtures.child import run_python
from trainer.history.tail import Tail
from trainer.process.children import ask
from trainer.run.folder import RunFolder

pytestmark = pytest.mark.torch

MakeConfig = Callable[..., FinetuneConfig]

LAYERS = """
import json, sys
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.model.reader import read_model
from trainer.worker.setup.model import load_model
config = FinetuneConfig(model=sys.argv[1], method="qlora", quantization=Quantization(bits=4))
model = load_model(config, read_model(sys.argv[1]), cuda=False)
kinds = [type(module).__name__ for module in model.modules()]
print(json.dumps({"4bit": kinds.count("Linear4bit"), "head": type(model.lm_head).__name__}))
"""

DTYPES = """
import json, torch
from trainer.worker.setup.model import settle_trainable_dtypes
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


RECORDED = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from trainer.run.folder import RunFolder
from trainer.worker.loop import recorder
from trainer.worker.loop.requests import Requests
from trainer.worker.loop.resume_point import ResumePoint

folder, clock = RunFolder(Path(sys.argv[1])), [0.0]
recorder.time = SimpleNamespace(perf_counter=lambda: clock[0])
watching = recorder.StepRecorder(folder, Requests(folder), SimpleNamespace(peak=lambda: 7), ResumePoint())
control = SimpleNamespace()
for step in range(1, 9):
    state = SimpleNamespace(global_step=step, epoch=step / 8)
    watching.on_step_begin(None, state, control)
    clock[0] += 2.0
    watching.on_step_end(None, state, control)
    if step % 4 == 0:
        clock[0] += 100.0  # an evaluation is none of the steps' time
        loss = 2.5 if step == 4 else float("nan")
        watching.on_log(None, state, control, {"loss": loss, "num_tokens": 100.0 * step, "learning_rate": 1e-4})
print(json.dumps(watching.tokens))
"""

TRACKED = """
import json, sys
from recommender.config.io import load_config
from recommender.steps import Steps
from trainer.worker.stages.sft import training_arguments
from pathlib import Path
config = load_config(Path(sys.argv[1]))
steps = Steps(**json.loads(sys.argv[2]))
print(json.dumps(training_arguments(config, Path(sys.argv[3]), steps, evaluates=False, cuda=False).report_to))
"""


def test_one_line_for_several_steps_has_their_mean_time_and_rate(tmp_path: Path) -> None:
    assert run_python(RECORDED, str(tmp_path)) == 800
    first, second, warned = Tail(tmp_path / "events.jsonl").documents()
    assert (first["kind"], first["step"], first["tokens"]) == ("step", 4, 400)
    assert (first["step_seconds"], first["tokens_per_second"]) == (2.0, 50.0)
    assert (second["step"], second["tokens"], second["tokens_per_second"]) == (8, 800, 50.0)
    # A loss that was no number between two lines makes their mean none.
    assert warned["kind"] == "warning"
    assert "The loss of step 8 is not a number" in warned["message"]


@pytest.mark.parametrize("trackers", [["tensorboard"], ["wandb", "tensorboard"], []])
def test_trackers_are_passed_on(make_config: MakeConfig, tmp_path: Path, trackers: list[str]) -> None:
    config = make_config(run__report_to=trackers)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    steps = json.dumps(asdict(count_steps(config, 40, 0)))
    assert run_python(TRACKED, str(tmp_path / "config.yaml"), steps, str(tmp_path)) == trackers


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
