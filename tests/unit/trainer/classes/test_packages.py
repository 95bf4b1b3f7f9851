"""A tower whose package is not installed: left out where text does not pass through it, said where it is wanted."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.model.reader import read_model
from trainer.anatomy.learn import learn
from trainer.classes.build import load_trained, without_towers
from trainer.classes.choose import classes_of
from trainer.classes.packages import needs
from trainer.worker.setup.model import load_model

IDS = torch.arange(20, 44).reshape(2, 12)
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "intermediate_size": [48] * 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 320,
    "vocab_size_per_layer_input": 320,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 2,
    "laurel_rank": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "activation_sparsity_pattern": [0.0] * 4,
}


def write_gemma3n(folder: Path) -> Any:
    """A small Gemma 3n, whose vision tower is timm's, with a tensor of that tower; returns the text part."""
    config = AutoConfig.for_model("gemma3n", text_config=TEXT, architectures=["Gemma3nForConditionalGeneration"])
    document = json.loads(config.to_json_string(use_diff=False))
    folder.joinpath("config.json").write_text(json.dumps(document))
    classes = classes_of(AutoConfig.from_pretrained(folder))
    model = without_towers(classes)._from_config(classes.config, dtype=torch.float32).eval()
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    tensors["model.vision_tower.timm_model.conv_stem.conv.weight"] = torch.zeros(4, 3, 3, 3)
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return model


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is installed")
def test_a_tower_without_its_package_is_left_out_and_text_passes_through_what_stays(tmp_path: Path) -> None:
    """All tokens go through Gemma 3n's `embed_vision`, whatever they are."""
    model = write_gemma3n(tmp_path)
    loaded = load_trained(classes_of(AutoConfig.from_pretrained(tmp_path)), tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        assert torch.equal(loaded(input_ids=IDS).logits, model(input_ids=IDS).logits)
    anatomy = learn(json.loads((tmp_path / "config.json").read_text()))
    assert anatomy.total_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert read_model(str(tmp_path)).needs_anatomy


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is installed")
def test_where_every_weight_is_trained_the_package_is_named(tmp_path: Path) -> None:
    write_gemma3n(tmp_path)
    config = FinetuneConfig.model_validate(
        {"model": str(tmp_path), "method": "full", "training": {"attn_implementation": "eager", "precision": "fp32"}}
    )
    spec = replace(read_model(str(tmp_path)), unsupported="", needs_anatomy=False)
    with pytest.raises(InputError, match=r"cannot be loaded: .*timm (is|are) not installed") as caught:
        load_model(config, spec, cuda=False)
    assert "pip install" in caught.value.remedy and "method to lora" in caught.value.remedy


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            ImportError("X requires the timm library. You can install it with pip:\n`pip install timm`."),
            ("timm is not installed", "pip install timm"),
        ),
        (
            ImportError("X requires the natten library"),
            ("natten is not installed", "pip install natten"),
        ),
        (ModuleNotFoundError("No module named 'a.b'", name="a.b"), ("a is not installed", "pip install a")),
        (ImportError("something\n is off."), ("something is off", "Install the package that it names.")),
    ],
)
def test_a_complaint_names_what_to_install(problem: ImportError, said: tuple[str, str]) -> None:
    assert needs(problem) == said
