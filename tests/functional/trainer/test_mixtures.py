"""A mixture trained in 4 bits with adapted experts by the worker: saved, gone on with, merged, asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from recommender.config.io import dump_config
from recommender.config.schema import FinetuneConfig
from tests.fixtures.child import run_python
from tests.functional.trainer.conftest import CPU
from trainer.run.folder import RunFolder

pytestmark = pytest.mark.torch

SAVED = """
import sys
from pathlib import Path
from tests.fixtures.mixtures import saved_mixture
saved_mixture(sys.argv[1], Path(sys.argv[2]))
print("{}")
"""
TRAINED = """
import json, sys
from pathlib import Path
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from trainer.run.folder import RunFolder
from trainer.worker.after.answering import Answerer
from trainer.worker.after.merge import merge
from trainer.worker.loop.requests import Requests
from trainer.worker.loop.resume_point import ResumePoint
from trainer.worker.output.result import finish_adapter
from trainer.worker.setup.assemble import build

folder = RunFolder(Path(sys.argv[1]))
job = build(folder, Requests(folder), ResumePoint())
job.trainer.train()
finish_adapter(job)
losses = [each["loss"] for each in job.trainer.state.log_history if "loss" in each]
weights = load_file(folder.adapter / "adapter_model.safetensors")
experts = {name: float(tensor.float().abs().max()) for name, tensor in weights.items() if ".experts." in name}

job = build(folder, Requests(folder), ResumePoint())
last = max(folder.checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
job.trainer._load_from_checkpoint(str(last))
again = {name: tensor for name, tensor in job.trainer.model.state_dict().items() if "lora_B" in name}
saved = load_file(last / "adapter_model.safetensors")
kept = all(torch.equal(tensor.float(), saved[name.replace(".default", "")].float()) for name, tensor in again.items())

into = folder.path / "merged"
into.mkdir()
told = merge(folder, into)
asked = Answerer.of(folder)
sides = {side for side, _ in asked.answers("What is the learning rate?", 12)}
print(json.dumps({"losses": losses, "experts": experts, "kept": kept, "off": told["off"], "moved": told["moved"],
                  "sides": sorted(sides), "parameters": json.loads(
                      (folder.adapter / "adapter_config.json").read_text())["target_parameters"]}))
"""


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe", "gpt_oss"])
def test_experts_are_trained_saved_gone_on_with_merged_and_asked(
    kind: str, make_config: Callable[..., FinetuneConfig], tmp_path: Path
) -> None:
    run_python(SAVED, kind, str(tmp_path / "base"))
    changes = {
        "model": str(tmp_path / "base"),
        "method": "qlora",
        "quantization__bits": 4,
        "lora__experts": True,
        "training__attn_implementation": "eager",
        "training__max_steps": 4,
    }
    config = make_config(**changes)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    for path in (folder.config, folder.effective_config):
        path.write_text(dump_config(config))
    folder.plan.write_text(json.dumps({"device": asdict(CPU)}))
    told = run_python(TRAINED, str(folder.path))
    assert told["losses"][-1] < told["losses"][0]
    assert len(told["experts"]) >= 8 and min(told["experts"].values()) > 0
    assert sorted(told["parameters"]) == ["experts.down_proj", "experts.gate_up_proj"]
    assert told["kept"]
    assert told["moved"] > 0 and told["off"] < 0.25
    # After these few steps a tuned gpt-oss of this size ends its answer at once.
    assert told["sides"] == (["base"] if kind == "gpt_oss" else ["base", "tuned"])
