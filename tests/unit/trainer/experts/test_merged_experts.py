"""Adapted experts merged into a base's files: tensor by tensor what PEFT merges into the loaded model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from tests.fixtures.mixtures import KINDS, saved_mixture
from trainer.classes.choose import classes_of
from trainer.classes.names import loads_into, renamed, served_skeleton
from trainer.worker.after.merged_weights import Adapter
from trainer.worker.setup.experts.adapter import adapt_experts

pytestmark = pytest.mark.torch
IDS = torch.arange(48).reshape(2, 24) * 5 % 512


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("rslora", [False, True])
def test_merged_files_are_what_peft_merges(kind: str, rslora: bool, tmp_path: Path) -> None:
    base = saved_mixture(kind, tmp_path / "base", shard="5GB")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], use_rslora=rslora, task_type="CAUSAL_LM")
    adapt_experts(settings, model)
    model = get_peft_model(model, settings)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    served = served_skeleton(classes_of(AutoConfig.from_pretrained(base)))
    adapter = Adapter(tmp_path / "adapter", None, loads_into(served), served)
    files = load_file(base / "model.safetensors")
    merged = {name: adapter.merged(name, tensor).contiguous() for name, tensor in files.items()}
    assert not adapter.unused
    assert any(".experts." in name and not torch.equal(merged[name], files[name]) for name in files)
    shutil.copytree(base, tmp_path / "merged")
    (tmp_path / "merged" / "model.safetensors").unlink()
    save_file(merged, tmp_path / "merged" / "model.safetensors", metadata={"format": "pt"})
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(plain, str(tmp_path / "adapter")).merge_and_unload()
    with torch.no_grad():
        torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, rtol=0, atol=1e-4)


def test_adapted_experts_have_a_name_in_the_class_that_is_served() -> None:
    names = {"model.layers.0.mlp.experts.down_proj": "model.language_model.layers.0.mlp.experts.down_proj"}
    for inner in ("", ".base_layer"):
        name = f"model.layers.0.mlp.experts{inner}.lora_A.weight"
        assert renamed(name, names) == f"model.language_model.layers.0.mlp.experts{inner}.lora_A.weight"
    assert renamed("model.layers.1.mlp.experts.lora_A.weight", names) is None
