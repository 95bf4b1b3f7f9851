"""An adapter works in the class that config.json names and, where another was trained, in that one too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from presets.errors import InputError
from recommender.config.schema import Lora
from tests.fixtures.tiny_classes import CONFIGS, VOCABULARY, save_served
from trainer.classes.build import load_trained
from trainer.classes.choose import Classes, classes_of
from trainer.worker.output.adapter import adapter_for_trained, for_served, refusal_of_served, save_adapter, served_names
from trainer.worker.setup.adapter import adapter_config

IDS = torch.randint(20, VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(1))
VLLM = json.loads((Path(__file__).parents[3] / "fixtures" / "vllm_prefixes.json").read_text(encoding="utf-8"))


def trained(model_type: str, folder: Path, **lora: Any) -> tuple[Classes, Any, torch.Tensor]:
    """A trained class with an adapter that moves its logits, saved to folder/adapter; the base lies in folder/base."""
    save_served(model_type, folder / "base")
    classes = classes_of(AutoConfig.from_pretrained(folder / "base"))
    base = load_trained(classes, folder / "base", dtype=torch.float32).eval()
    plain = _logits(base)
    model = get_peft_model(base, adapter_config(Lora(r=4, **lora), base))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))) * 0.3)
    save_adapter(model, folder / "adapter", folder / "base")
    moved = _logits(model.eval())
    assert float((moved - plain).abs().max()) > 0.05
    return classes, model, moved


def _logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


def loaded(kind: type[Any], config: Any, folder: Path, adapter: Path) -> Any:
    """By Transformers and PEFT alone; every weight of the file has found a module, and no module lacks one."""
    base = kind.from_pretrained(folder / "base", config=config, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, adapter).eval()
    held, file = get_peft_model_state_dict(model), load_file(adapter / "adapter_model.safetensors")
    assert held.keys() == file.keys()
    assert all(torch.equal(held[name], file[name]) for name in file)
    return model


@pytest.mark.parametrize("model_type", sorted(CONFIGS))
def test_the_adapter_gives_the_trained_logits_in_the_class_that_is_served(model_type: str, tmp_path: Path) -> None:
    classes, _, moved = trained(model_type, tmp_path)

    served = loaded(classes.served, classes.document, tmp_path, tmp_path / "adapter")

    assert torch.allclose(_logits(served), moved, atol=1e-5)
    adapted = {name for name, x in served.named_modules() if hasattr(x, "lora_A")}
    assert adapted
    assert not any(re.search("vision|visual|audio|projector", name) for name in adapted)


@pytest.mark.parametrize("model_type", ["qwen3_5", "qwen3_5_moe", "llama4"])
def test_text_only_gives_the_same_in_the_class_that_was_trained(model_type: str, tmp_path: Path) -> None:
    classes, _, moved = trained(model_type, tmp_path)

    text = loaded(classes.trained, classes.config, tmp_path, tmp_path / "adapter" / "text-only")

    assert torch.allclose(_logits(text), moved, atol=1e-5)
    assert adapter_for_trained(tmp_path / "adapter") == tmp_path / "adapter" / "text-only"


@pytest.mark.parametrize("model_type", ["gemma3", "mistral3"])
def test_there_is_one_adapter_where_the_served_class_was_trained(model_type: str, tmp_path: Path) -> None:
    trained(model_type, tmp_path)

    assert not (tmp_path / "adapter" / "text-only").exists()
    assert adapter_for_trained(tmp_path / "adapter") == tmp_path / "adapter"


@pytest.mark.parametrize("model_type", sorted(CONFIGS))
def test_every_key_passes_vllms_published_prefixes(model_type: str, tmp_path: Path) -> None:
    classes, _, _ = trained(model_type, tmp_path)
    prefixes = VLLM["prefixes"][classes.served.__name__]

    keys = load_file(tmp_path / "adapter" / "adapter_model.safetensors").keys()

    for key in keys:
        name = key.removeprefix("base_model.model.")
        new = next((f"{to}{name.removeprefix(old)}" for old, to in prefixes.items() if name.startswith(old)), name)
        assert new.startswith(VLLM["text_modules"]), key


def test_weights_that_are_trained_whole_and_magnitudes_are_renamed_too(tmp_path: Path) -> None:
    classes, _, moved = trained("qwen3_5", tmp_path, use_dora=True, modules_to_save=["lm_head"], bias="none")

    served = loaded(classes.served, classes.document, tmp_path, tmp_path / "adapter")

    assert torch.allclose(_logits(served), moved, atol=1e-5)


def test_whether_it_can_be_written_is_asked_before_training(tmp_path: Path) -> None:
    _, model, _ = trained("qwen3_5", tmp_path)
    other = tmp_path / "other"
    save_served("qwen3_5", other)
    # A repository that lacks a layer which is adapted.
    file = other / "model.safetensors"
    save_file({name: x for name, x in load_file(file).items() if "layers.1.mlp" not in name}, file)

    assert refusal_of_served(model, tmp_path / "base") is None
    refused = refusal_of_served(model, other)
    assert refused is not None
    assert "layers.1.mlp" in refused.message
    assert "--to merged" in refused.remedy


def test_a_weight_without_a_counterpart_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    save_served("qwen3_5", tmp_path)
    classes = classes_of(AutoConfig.from_pretrained(tmp_path))

    with pytest.raises(InputError, match=re.escape("base_model.model.mtp.fc.lora_A.weight")):
        for_served({"base_model.model.mtp.fc.lora_A.weight": torch.zeros(1)}, served_names(classes, tmp_path))
