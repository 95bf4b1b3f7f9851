"""What the classes of Transformers say of themselves, over a dozen families that are built differently."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from presets.errors import InputError
from recommender.config.schema import Lora
from recommender.model.anatomy import from_document, to_document
from tests.fixtures.tiny_classes import CONFIGS
from trainer.anatomy.build import build, config_of, on_meta, parameters_of
from trainer.anatomy.learn import anatomy_of, learn
from trainer.classes.choose import classes_of
from trainer.worker.setup.adapter import adapter_config

TEXT: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
MLA: dict[str, Any] = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "num_key_value_heads": 4,
}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16}
TINY: dict[str, dict[str, Any]] = {
    "llama": TEXT,
    "gpt2": {"n_embd": 32, "n_layer": 4, "n_head": 4, "vocab_size": 320, "n_positions": 256},
    "gpt_neox": TEXT,
    "falcon": {
        "vocab_size": 320,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_kv_heads": 2,
        "new_decoder_architecture": True,
    },
    "gemma2": TEXT,
    "gemma3_text": {**TEXT, "num_hidden_layers": 6, "sliding_window": 16, "sliding_window_pattern": 3},
    "deepseek_v3": {**TEXT, **MLA},
    "gpt_oss": {**TEXT, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16},
    "lfm2": {**TEXT, "layer_types": ["conv", "conv", "full_attention", "conv"]},
    "granitemoehybrid": {
        **TEXT,
        **MAMBA,
        "layer_types": ["mamba", "mamba", "attention", "mamba"],
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 32,
    },
    "mamba2": {
        "vocab_size": 320,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_heads": 8,
        "head_dim": 8,
        "n_groups": 1,
    },
    "recurrent_gemma": {**TEXT, "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 16},
}
TINY["zamba"] = {
    **{key: value for key, value in TEXT.items() if key != "head_dim"},
    "num_hidden_layers": 6,
    "attn_layer_period": 3,
    "attn_layer_offset": 2,
    "n_mamba_heads": 2,
}
SEEING = ("gemma3", "gemma4", "mistral3", "qwen3_5", "qwen3_5_moe", "llama4")


def tiny(kind: str) -> dict[str, Any]:
    """A config.json document of a family."""
    return {"model_type": kind, **deepcopy(TINY.get(kind) or CONFIGS[kind])}


@pytest.mark.parametrize("kind", [*TINY, *SEEING])
def test_every_parameter_is_counted_once_and_read_back(kind: str) -> None:
    document = tiny(kind)
    learned = learn(document)
    config = config_of(document)
    classes = classes_of(config)
    assert learned.total_parameters + learned.tower_parameters == parameters_of(
        on_meta(classes.trained, classes.config)
    )
    assert learned.served_parameters == parameters_of(on_meta(classes.served, config))
    parts = sum(linear.parameters for linear in learned.linears)
    parts += sum(linear.parameters for linear in learned.kept_linears) + sum(one.parameters for one in learned.experts)
    rest = learned.embedding_parameters + learned.head_parameters + learned.norm_parameters + learned.other_parameters
    assert parts + rest - learned.shared_parameters == learned.total_parameters
    assert sum(layer.count for layer in learned.kinds) == len(learned.sequence)
    assert from_document(to_document(learned)) == learned


@pytest.mark.parametrize("kind", [*TINY, *SEEING])
def test_an_adapter_has_as_many_parameters_as_pefts(kind: str) -> None:
    built = build(tiny(kind))
    learned = anatomy_of(built)
    with torch.device("meta"):
        adapted = get_peft_model(built.model, adapter_config(Lora(r=8), built.model))
    trained = sum(p.numel() for name, p in adapted.named_parameters() if ".lora_" in name)
    assert trained == sum(linear.adapter_parameters(8) for linear in learned.linears) > 0


@pytest.mark.parametrize(
    ("kind", "mixers", "first", "last"),
    [
        ("llama", ("full_attention",), "full_attention+dense", "full_attention+dense"),
        ("gemma2", ("sliding_attention", "full_attention"), "sliding_attention+dense", "full_attention+dense"),
        ("gemma3_text", ("sliding_attention", "full_attention"), "sliding_attention+dense", "full_attention+dense"),
        ("deepseek_v3", ("full_attention",), "full_attention+dense", "full_attention+mixture"),
        ("gpt_oss", ("sliding_attention", "full_attention"), "sliding_attention+mixture", "full_attention+mixture"),
        ("lfm2", ("conv", "full_attention"), "conv+dense", "conv+dense"),
        ("granitemoehybrid", ("mamba", "full_attention"), "mamba+mixture", "mamba+mixture"),
        ("mamba2", ("mamba",), "mamba", "mamba"),
        ("recurrent_gemma", ("recurrent", "sliding_attention"), "recurrent+dense", "sliding_attention+dense"),
        ("qwen3_5", ("linear_attention", "full_attention"), "linear_attention+dense", "full_attention+dense"),
        ("llama4", ("chunked_attention", "full_attention"), "chunked_attention+mixture", "full_attention+mixture"),
    ],
)
def test_kinds_of_layer(kind: str, mixers: tuple[str, ...], first: str, last: str) -> None:
    learned = learn(tiny(kind))
    assert set(learned.mixers) == set(mixers)
    assert (learned.layers[0], learned.layers[-1]) == (first, last)
    assert learned.recurrent == bool({"linear_attention", "mamba", "conv", "recurrent"} & set(mixers))


@pytest.mark.parametrize(
    ("kind", "adapted", "kept"),
    [
        ("gpt2", {"c_attn", "c_proj", "c_fc"}, set()),
        (
            "deepseek_v3",
            {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"},
            # PEFT 0.21 takes these names for the routed experts', in dense layers and shared experts too.
            {"gate_proj", "up_proj", "down_proj"},
        ),
        ("lfm2", {"in_proj", "out_proj", "q_proj", "k_proj", "v_proj", "w1", "w2", "w3"}, set()),
        (
            "granitemoehybrid",
            {"in_proj", "q_proj", "k_proj", "v_proj", "o_proj", "input_linear", "output_linear"},
            {"out_proj"},
        ),
        (
            "qwen3_5_moe",
            {"in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj", "q_proj", "k_proj", "v_proj", "o_proj"},
            {"shared_expert_gate"},
        ),
        ("mamba2", {"in_proj"}, {"out_proj"}),
    ],
)
def test_all_linear_means_what_can_learn(kind: str, adapted: set[str], kept: set[str]) -> None:
    learned = learn(tiny(kind))
    assert adapted <= {linear.name for linear in learned.linears}
    assert {linear.name for linear in learned.kept_linears} == kept
    assert all(linear.reason for linear in learned.kept_linears)


def test_experts_and_kernels() -> None:
    oss, hybrid = learn(tiny("gpt_oss")), learn(tiny("granitemoehybrid"))
    assert {(one.name, one.experts, one.count) for one in oss.experts} == {("gate_up_proj", 4, 4), ("down_proj", 4, 4)}
    assert (oss.sizes.experts, oss.sizes.experts_per_token, oss.sizes.expert_width, oss.sizes.window) == (4, 2, 48, 16)
    # Its sinks run in two kernels of their own, which flash-attn 2 is none of.
    assert not oss.supports_sdpa and not oss.supports_flash
    assert set(hybrid.kernels["mamba"]) == {"causal-conv1d", "mamba-ssm"}
    assert learn(tiny("gemma2")).softcaps == (30.0, 50.0)


@pytest.mark.parametrize(
    ("document", "said", "remedy"),
    [
        ({"model_type": "nope", "transformers_version": "99.1.0"}, "has no class for", "transformers>=99.1.0"),
        ({"model_type": "nope", "transformers_version": "4.1.0"}, "has no class for", "pip install -U transformers"),
        ({"model_type": "llama", "hidden_size": "wide"}, "refuses this|cannot build", "config.json again"),
        (
            {"model_type": "llama", "num_attention_heads": 0},
            "refuses this config.json|cannot build",
            "config.json again",
        ),
        ({"model_type": "vit"}, "predicts the next token", "another type"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_one_clear_message(document: dict[str, Any], said: str, remedy: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        learn(document)
    assert "\n" not in refused.value.message
    assert remedy in (refused.value.remedy or "")


def test_a_class_of_peft_is_only_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning changes nothing of the model: it is adapted as any other afterwards."""
    built = build(tiny("llama"))
    anatomy_of(built)
    assert not any("lora" in name for name, _ in built.model.named_modules())
    assert isinstance(adapter_config(Lora(r=4), built.model), LoraConfig)
