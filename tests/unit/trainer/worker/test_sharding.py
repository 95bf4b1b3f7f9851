"""Lines of Accelerate and Transformers by which sharding is put in force here, and sharding in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.child import run_python
from tests.fixtures.tiny_model import build_tiny_llama

pytestmark = [pytest.mark.process, pytest.mark.torch, pytest.mark.slow]

UPSTREAM = """
import inspect, json, re
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import Trainer

state = inspect.getsource(AcceleratorState.__init__)
kind = r"elif self\\.distributed_type"
kinds = re.search(kind + r" in \\[(.*?)\\]:(?:(?!" + kind + r").)*?DistributedType\\.FSDP", state, re.DOTALL)
prepare = inspect.getsource(Accelerator.prepare_model)
training = inspect.getsource(Trainer._prepare_for_training)
print(json.dumps({
    "kinds that may shard": re.findall(r"MULTI_\\w+", kinds[1]) if kinds else None,
    "a prepared model is not wrapped": 'if getattr(model, "_is_accelerate_prepared", False):' in prepare,
    "an evaluation prepares": "evaluation_mode=True" in inspect.getsource(Trainer.evaluation_loop),
    "as we do": "prepare_model(model, device_placement=False, evaluation_mode=True)" in training,
}))
"""

ALONE = """
import json, os, sys, torch
from pathlib import Path
from types import SimpleNamespace
from transformers import AutoModelForCausalLM
from peft import LoraConfig, get_peft_model
from recommender.config.launch import Launch
from trainer.worker.launcher import STORE

os.environ |= {STORE: sys.argv[2], "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
from trainer.worker import world
from trainer.worker.setup import sharding

world.join(cuda=False)
torch.manual_seed(0)
base = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], use_dora=True, modules_to_save=["lm_head"])
model = get_peft_model(base, config)
before = {name: value.detach().clone() for name, value in model.named_parameters()}
layers = len(sharding.layers_of(model))
launch = Launch(strategy="fsdp", offload=sys.argv[3])
trainer = SimpleNamespace(model=model, model_wrapped=model, accelerator=SimpleNamespace(prepare_model=lambda m, **_: m))
try:
    sharding.reality(trainer, launch)
    refused = ""
except Exception as problem:
    refused = str(problem)
sharding.share(trainer, launch)
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
model(input_ids=torch.arange(3, 20)[None], labels=torch.arange(3, 20)[None]).loss.backward()
optimizer.step()
trained = sharding.trained_weights(model)
state = sharding.optimizer_state(optimizer)
place = Path(sys.argv[2] + "-saved")
model.save_pretrained(place, state_dict=trained, save_embedding_layers=False)
moved = max(float((trained[name] - before[name]).abs().max()) for name in trained)
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.mul_(0)
sharding.load_trained(model, place)
again = sharding.trained_weights(model)
fresh = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
fresh.load_state_dict(state)
sharding.shard_states(fresh)
same_states = all(
    torch.equal(first[key], second[key])
    for first, second in zip(state["state"].values(), sharding.optimizer_state(fresh)["state"].values(), strict=True)
    for key in first
)
print(json.dumps({
    "layers": layers,
    "refused": refused,
    "reality": sharding.reality(trainer, launch),
    "parameters": len(before),
    "moved": moved,
    "saved": sorted(path.name for path in place.iterdir()),
    "same": all(torch.equal(trained[name], again[name]) for name in trained),
    "names": set(trained) == {name for name, parameter in model.named_parameters() if parameter.requires_grad},
    "same states": same_states,
    "plain": not any(isinstance(value, sharding.DTensor) for value in trained.values()),
}))
world.leave()
"""

WHOLE = """
import json, os, sys, torch
from pathlib import Path
from transformers import AutoModelForCausalLM
from trainer.worker.launcher import STORE

os.environ |= {STORE: sys.argv[2], "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
from trainer.worker import world
from trainer.worker.setup import sharding

world.join(cuda=False)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
before = {name: value.detach().clone() for name, value in model.named_parameters()}
sharding.shard(model, "none")
model.eval()
with torch.no_grad():
    model(input_ids=torch.arange(3, 20)[None])
whole = sharding.trained_weights(model)
place = Path(sys.argv[2] + "-saved")
model.save_pretrained(place, state_dict=whole)
again = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
print(json.dumps({
    "sharded": sharding.sharded_parameters(model) == len(before),
    "saved": all(torch.equal(before[name], value) for name, value in again.named_parameters()),
}))
world.leave()
"""


def test_what_accelerate_and_transformers_do_with_shards_is_what_is_written_here() -> None:
    said = run_python(UPSTREAM)
    assert said["kinds that may shard"], "accelerate/state.py puts FSDP in force elsewhere now"
    assert "MULTI_GPU" in said["kinds that may shard"]
    assert "MULTI_CPU" not in said["kinds that may shard"], "Accelerate shards on a CPU now: it may be left to it"
    assert said["a prepared model is not wrapped"] and said["an evaluation prepares"], "`share` may be simpler now"
    assert said["as we do"], "Transformers prepares a model that is sharded already in another way now"


@pytest.mark.parametrize("offload", ["none", "params", "all"])
def test_shards_are_saved_and_loaded_as_whole_weights_and_states(tmp_path: Path, offload: str) -> None:
    model = build_tiny_llama(tmp_path / "tiny-llama")
    said = run_python(ALONE, str(model), str(tmp_path / "store"), offload)
    assert said["layers"] == 2
    assert said["refused"].startswith("launch.strategy fsdp was asked for, and no parameter of the model is sharded.")
    assert said["reality"] == {"world_size": 1, "strategy": "fsdp", "sharded_parameters": said["parameters"]}
    assert said["moved"] > 0.01 and said["names"] and said["plain"]
    assert "adapter_model.safetensors" in said["saved"]
    assert said["same"] and said["same states"]


def test_a_model_trained_whole_is_saved_whole_after_an_evaluation_that_left_it_gathered(tmp_path: Path) -> None:
    said = run_python(WHOLE, str(build_tiny_llama(tmp_path / "tiny-llama")), str(tmp_path / "store"))
    assert said == {"sharded": True, "saved": True}
