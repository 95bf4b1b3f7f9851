"""Every family, variant and catalogue model against the class that Transformers really builds."""

import json
from pathlib import Path
from typing import Any

import pytest

from presets.models import load_models
from recommender.model.families import spec_from_config
from recommender.model.family_table import FAMILIES
from recommender.model.spec import ModelSpec
from tests.fixtures.child import run_python

# One process for all: importing Transformers costs more than building a model without memory.
BUILD = """
import json, sys, torch
from collections import Counter
from transformers import AutoConfig, AutoModelForCausalLM
def facts(config):
    config = {key: value for key, value in config.items() if key != "quantization_config"}
    built = AutoConfig.for_model(config.pop("model_type"), **config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(built)
    linears, norms = Counter(), 0
    for name, module in model.named_modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        if type(module) is torch.nn.Linear and name != "lm_head":
            linears[(name.rpartition(".")[2], module.in_features, module.out_features, module.bias is not None)] += 1
        elif "Norm" in type(module).__name__:
            norms += own
    embedding = model.get_input_embeddings().weight
    return {
        "architecture": type(model).__name__,
        "total": sum(p.numel() for p in model.parameters()),
        "linears": sorted([*kind, count] for kind, count in linears.items()),
        "norms": norms,
        "tied": model.get_output_embeddings().weight is embedding,
        "vocabulary": embedding.shape[0],
    }
configs = json.load(open(sys.argv[1]))
print(json.dumps({name: facts(config) for name, config in configs.items()}))
"""

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 160,
    "vocab_size": 1000,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "attention bias": {"attention_bias": True},
    "mlp bias": {"mlp_bias": True},
    "own head_dim": {"head_dim": 48},
    "tied": {"tie_word_embeddings": True},
    "untied": {"tie_word_embeddings": False},
    "as many key heads": {"num_key_value_heads": None},
}
MOE: dict[str, Any] = {"num_experts": 8, "num_local_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


def _small(model_type: str, **changes: Any) -> dict[str, Any]:
    experts = MOE if FAMILIES[model_type].experts else {}
    return {"model_type": model_type, **SMALL, **experts, **changes}


def _configs() -> dict[str, dict[str, Any]]:
    known = [model for model in load_models() if model.config["model_type"] in FAMILIES]
    configs: dict[str, dict[str, Any]] = {model.name: dict(model.config) for model in known}
    for family in FAMILIES:
        configs[family] = _small(family)
        for name, changes in VARIANTS.items():
            if name == "as many key heads" and "num_key_value_heads" in FAMILIES[family].defaults:
                continue  # Transformers refuses null there
            if (family, name) == ("olmoe", "own head_dim"):
                continue  # its query norm is of the hidden size whatever head_dim says: such a model cannot run
            configs[f"{family}, {name}"] = _small(family, **changes)
    configs["qwen3_moe, some layers dense"] = _small("qwen3_moe", mlp_only_layers=[0])
    configs["qwen3_moe, every second sparse"] = _small("qwen3_moe", decoder_sparse_step=2)
    return configs


def _facts(spec: ModelSpec) -> dict[str, Any]:
    kinds = [[part.name, part.in_features, part.out_features, part.bias, part.count] for part in spec.linears]
    return {
        "architecture": spec.architecture,
        "total": spec.total_parameters,
        "linears": sorted(kinds),
        "norms": spec.norm_parameters,
        "tied": spec.tied,
        "vocabulary": spec.vocab_size,
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What Transformers builds from each configuration."""
    path: Path = tmp_path_factory.mktemp("families") / "configs.json"
    path.write_text(json.dumps(_configs()))
    facts: dict[str, dict[str, Any]] = run_python(BUILD, str(path))
    return facts


@pytest.mark.torch
@pytest.mark.parametrize("name", list(_configs()))
def test_spec_is_what_transformers_builds(built: dict[str, dict[str, Any]], name: str) -> None:
    assert _facts(spec_from_config(_configs()[name], name)) == built[name]


# The order in which a decoder layer calls its parts.
ORDER = """
import json, sys, torch
from transformers import AutoConfig, AutoModelForCausalLM
def order(config):
    config = dict(config)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config.pop("model_type"), **config))
    called = []
    for name, part in model.model.layers[0].named_children():
        part.register_forward_pre_hook(lambda *_, name=name: called.append(name))
    with torch.no_grad():
        model(input_ids=torch.arange(4)[None])
    return called
configs = json.load(open(sys.argv[1]))
print(json.dumps({name: order(config) for name, config in configs.items()}))
"""


@pytest.mark.torch
def test_norms_stand_where_the_layers_call_them(tmp_path: Path) -> None:
    path = tmp_path / "configs.json"
    path.write_text(json.dumps({family: _small(family) for family in FAMILIES}))
    orders: dict[str, list[str]] = run_python(ORDER, str(path))
    places = {(True, False): "before", (False, True): "after", (True, True): "both", (False, False): "nowhere"}
    found = {family: places["norm" in order[0], "norm" in order[-1]] for family, order in orders.items()}
    assert found == {family: facts.norm_position for family, facts in FAMILIES.items()}
