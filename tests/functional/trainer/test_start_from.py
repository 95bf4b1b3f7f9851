"""Training that goes on from a saved adapter begins where that one ended."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig
from recommender.model.reader import read_model
from recommender.plan.starting_adapter import adopted
from tests.fixtures.adapters import build_adapter
from tests.fixtures.child import run_python
from tests.functional.trainer.conftest import CPU, LONGEST, ended, wait_for
from trainer.process.launch import launch, resume_run
from trainer.results.merge import merge_run
from trainer.run.commands import request

pytestmark = pytest.mark.torch

SAVED_AND_STARTED_FROM = """
import json, shutil, sys, tempfile, torch
from pathlib import Path
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from recommender.config.edit import apply
from recommender.config.schema import FinetuneConfig
from recommender.model.reader import read_model
from recommender.plan.starting_adapter import adopted
from trainer.worker.setup.adapter import config_of, load_adapter

base = sys.argv[1]
ids = torch.arange(24).unsqueeze(0)
NF4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
VARIANTS = {
    "plain": {},
    "rslora": {"use_rslora": True, "lora_alpha": 5},
    "dora": {"use_dora": True},
    "olora": {"init_lora_weights": "olora"},
    "pissa": {"init_lora_weights": "pissa"},
    "gaussian": {"init_lora_weights": "gaussian"},
    "patterns": {"rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 8}, "alpha_pattern": {"v_proj": 3}},
    "attention": {"target_modules": ["q_proj", "v_proj"]},
    "some layers": {"target_modules": ["q_proj"], "layers_to_transform": [1]},
    "embeddings": {"modules_to_save": ["embed_tokens", "lm_head"], "target_modules": ["q_proj"]},
    "biases": {"bias": "lora_only"},
    "4 bits": {"bits": NF4},
}

def load(bits):
    options = {"quantization_config": bits} if bits else {}
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, device_map={"": "cpu"}, **options)

def logits(model):
    with torch.no_grad():
        return model.eval()(ids).logits.float()

found = {}
for name, settings in VARIANTS.items():
    bits = settings.pop("bits", None)
    torch.manual_seed(0)
    settings = {"task_type": "CAUSAL_LM", "r": 4, "target_modules": "all-linear", **settings}
    first = get_peft_model(load(bits), LoraConfig(**settings))
    before = logits(first)
    for parameter in first.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    trained = logits(first)
    folder = Path(tempfile.mkdtemp())
    first.save_pretrained(folder, save_embedding_layers=False)
    config = FinetuneConfig(model=base, method="qlora" if bits else "lora", quantization={"bits": 4 if bits else None})
    config = apply(config, {"start_from": str(folder)})
    config = apply(config, adopted(config, read_model(base)))
    torch.manual_seed(1)
    second = load(bits)
    second = get_peft_model(second, config_of(folder, config.lora, second))
    load_adapter(second, folder)
    trainable = [
        {n for n, p in model.named_parameters() if p.requires_grad} for model in (first, second)
    ]
    found[name] = {
        "moved": float((trained - before).abs().max()),
        "off": float((logits(second) - trained).abs().max()),
        "same_trained": trainable[0] == trainable[1],
    }
    shutil.rmtree(folder)
print(json.dumps(found))
"""


def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST)


def test_every_kind_of_adapter_is_as_it_was_saved(tiny_model: Path) -> None:
    found = run_python(SAVED_AND_STARTED_FROM, str(tiny_model))
    assert len(found) == 12
    for name, figures in found.items():
        assert figures["moved"] > 1e-3, (name, figures)
        assert figures["off"] < 1e-4, (name, figures)
        assert figures["same_trained"], (name, figures)


def test_it_is_resumed_without_what_it_started_from(
    make_config: Callable[..., FinetuneConfig], tiny_model: Path, tmp_path: Path
) -> None:
    """Over a base in 4 bits, from an adapter that is gone when the run goes on."""
    start = build_adapter(tmp_path / "start", str(tiny_model), r=2, targets=("self_attn.q_proj", "mlp.up_proj"))
    config = make_config(
        method="qlora", start_from=str(start), training__max_steps=400, run__save_steps=2, run__eval_steps=200
    )
    config = with_values(config, adopted(config, read_model(str(tiny_model))))
    run = launch(config, plan_document={"estimate": {}}, device=CPU, runs=tmp_path / "runs")
    wait_for(run, lambda shot: shot.state.step >= 3 or ended(shot))
    request(run, "stop")
    before = wait_for(run, ended)
    assert before.status == "stopped", (before.state.reason, before.log)
    shutil.rmtree(start)
    resume_run(run)
    wait_for(run, lambda shot: shot.state.step > before.state.step or ended(shot))
    request(run, "stop")
    after = wait_for(run, ended)
    assert after.status == "stopped" and after.state.step > before.state.step, (after.state.reason, after.log)
    settings = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert (settings["r"], settings["base_model_name_or_path"]) == (2, str(tiny_model))
    assert sorted(settings["target_modules"]) == ["q_proj", "up_proj"]


def test_a_run_begins_where_the_one_before_ended(
    make_config: Callable[..., FinetuneConfig], tiny_model: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    config = make_config(lora__r=4, lora__use_dora=True, training__max_steps=6)
    first = launch(config, plan_document={"estimate": {}}, device=CPU, runs=runs)
    before = wait_for(first, ended)
    assert before.status == "finished", (before.state.reason, before.log)
    assert before.end["last_eval_loss"] < before.end["first_eval_loss"] - 0.01
    assert "tensors" in json.loads((first / "adapter" / "base.json").read_text())

    told = cli("--runs", runs, "resume", "latest", "--set", "training.learning_rate=0.001")
    assert told.returncode == 2
    assert f"{first.name} has finished; its adapter is in {first / 'adapter'}" in told.stderr
    assert (
        f"lora-wizard train {first / 'config.effective.yaml'} --set start_from={first} "
        "--set training.learning_rate=0.001" in told.stderr
    )

    config = make_config(training__max_steps=3, training__learning_rate=0.001, start_from=str(first / "adapter"))
    config = with_values(config, adopted(config, read_model(str(tiny_model))))
    assert (config.lora.r, config.lora.use_dora) == (4, True)
    second = launch(config, plan_document={"estimate": {}}, device=CPU, runs=runs)
    after = wait_for(second, ended)
    assert after.status == "finished", (after.state.reason, after.log)
    assert after.end["first_eval_loss"] == pytest.approx(before.end["last_eval_loss"], abs=1e-4)
    assert after.start["start_from"]["adapter"] == str(first / "adapter")
    assert after.start["trainable_parameters"] == before.start["trainable_parameters"]
    # It stands on its own, over the same base.
    assert merge_run(second, tmp_path / "merged")["base"] == "same"
