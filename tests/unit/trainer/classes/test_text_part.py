"""The text part of a class that also sees: loaded without towers, its linear layers, and how PEFT is told of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from tests.fixtures.tiny_classes import CONFIGS, VOCABULARY, save_served, tiny_config
from trainer.classes.build import LeftOut, load_trained, other_parts, skeleton, text_prefix
from trainer.classes.choose import classes_of
from trainer.classes.linears import BYPASSED, EXPERTS, OUTSIDE, ROUTER, UNREACHED, linears_of, quantised_of
from trainer.classes.targets import targets_of

IDS = torch.randint(20, VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(1))


def on_meta(model_type: str, **keys: Any) -> Any:
    return skeleton(classes_of(AutoConfig.for_model(model_type, **keys)), dtype=torch.bfloat16, attention="eager")


@pytest.mark.parametrize("model_type", sorted(CONFIGS))
def test_the_text_part_is_loaded_from_the_published_repository_and_answers_as_the_whole(
    model_type: str, tmp_path: Path
) -> None:
    served = save_served(model_type, tmp_path)

    classes = classes_of(AutoConfig.from_pretrained(tmp_path))
    trained = load_trained(classes, tmp_path, dtype=torch.float32).eval()

    with torch.no_grad():
        assert torch.equal(trained(input_ids=IDS).logits, served(input_ids=IDS).logits)
    assert type(trained) is classes.trained
    held = other_parts(served)
    assert held
    beside = sum(p.numel() for name in held for p in served.get_submodule(name).parameters())
    assert sum(p.numel() for p in trained.parameters()) == sum(p.numel() for p in served.parameters()) - beside


def test_the_towers_are_there_and_frozen_where_the_whole_model_is_saved_again(tmp_path: Path) -> None:
    served = save_served("mistral3", tmp_path)

    whole = load_trained(classes_of(served.config), tmp_path, dtype=torch.float32, towers=True)

    assert {name for name, _ in whole.named_parameters()} == {name for name, _ in served.named_parameters()}
    assert not any(p.requires_grad for name, p in whole.named_parameters() if "vision" in name or "projector" in name)
    assert all(p.requires_grad for name, p in whole.named_parameters() if "language_model" in name)


@pytest.mark.parametrize("model_type", ["gemma3", "gemma4", "mistral3", "qwen3_vl"])
def test_the_pattern_of_a_whole_class_matches_its_text_part_alone(model_type: str) -> None:
    classes = classes_of(tiny_config(model_type))
    whole = skeleton(classes, dtype=torch.bfloat16, towers=True)
    adapted = linears_of(skeleton(classes, dtype=torch.bfloat16)).adapted

    pattern = targets_of(whole, adapted, text_prefix(whole))

    assert isinstance(pattern, str)
    assert {name for name, _ in whole.named_modules() if re.fullmatch(pattern, name)} == set(adapted)
    assert {name.rpartition(".")[2] for name in adapted} >= {"q_proj", "up_proj"}


def test_a_dense_model_is_told_by_short_names() -> None:
    model = on_meta("qwen3_5", **CONFIGS["qwen3_5"])

    linears = linears_of(model)

    assert targets_of(model, linears.adapted) == sorted({name.rpartition(".")[2] for name in linears.adapted})
    assert {"in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj"} <= set(targets_of(model, linears.adapted))
    assert not linears.left_out


def test_what_is_left_out_is_said_with_its_reason() -> None:
    mamba = linears_of(on_meta("mamba", num_hidden_layers=1, hidden_size=32, vocab_size=64))
    llama4 = linears_of(on_meta("llama4", **CONFIGS["llama4"]))
    small = {"num_hidden_layers": 2, "hidden_size": 32, "vocab_size": 64, "n_routed_experts": 4, "n_group": 1}
    deepseek = linears_of(on_meta("deepseek_v3", **small, moe_intermediate_size=16, intermediate_size=32))
    gemma4 = linears_of(on_meta("gemma4", **CONFIGS["gemma4"]))

    bart = linears_of(on_meta("bart", decoder_layers=1, d_model=32, decoder_ffn_dim=32, vocab_size=64))

    def reasons(linears: Any) -> dict[str, str]:
        return {name.rpartition(".")[2]: why for name, why in linears.left_out.items()}

    assert reasons(mamba) == {"x_proj": BYPASSED, "dt_proj": BYPASSED, "out_proj": BYPASSED}
    assert {name.rpartition(".")[2] for name in mamba.adapted} == {"in_proj"}
    crossing = {name for name, why in bart.left_out.items() if why == UNREACHED}
    assert {name.split(".")[-2] for name in crossing} == {"encoder_attn"}
    assert {"model.decoder.layers.0.self_attn.q_proj", "model.decoder.layers.0.fc1"} <= set(bart.adapted)
    assert reasons(llama4) == {"router": ROUTER}
    assert reasons(deepseek) == {"gate_proj": EXPERTS, "up_proj": EXPERTS, "down_proj": EXPERTS}
    assert reasons(gemma4) == {"per_layer_model_projection": OUTSIDE}


def test_what_bitsandbytes_replaces_leaves_out_the_head_and_what_is_kept() -> None:
    model = on_meta("llama4", **CONFIGS["llama4"])
    linears = linears_of(model)

    quantised = quantised_of(model, linears)

    assert quantised == set(linears.adapted)
    assert linears.kept == set(linears.left_out)


def test_nothing_passes_through_a_tower_that_is_left_out() -> None:
    model = on_meta("gemma3", **CONFIGS["gemma3"])

    assert isinstance(model.get_submodule("model.vision_tower"), LeftOut)
    with pytest.raises(RuntimeError, match="left out"):
        model.get_submodule("model.vision_tower")(torch.zeros(1))
