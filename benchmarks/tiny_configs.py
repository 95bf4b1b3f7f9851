"""Small configurations of every model type of AutoModelForCausalLM, for programs that try them all on a CPU.

`small(model_type)` cuts a type's default configuration by `RULES` (widths, layers, vocabulary, experts, in every
section of it) and then by what `OVERRIDES` says of that type alone. Of each kind of layer the first is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

VOCABULARY: Final = 320
LAYERS: Final = 4

RULES: Final[Mapping[str, Any]] = {
    # widths
    "hidden_size": 64,
    "d_model": 64,
    "n_embd": 64,
    "dim": 64,
    "word_embed_proj_dim": 64,
    "embedding_size": 64,
    "intermediate_size": 96,
    "intermediate_size_mlp": 96,
    "ffn_dim": 96,
    "n_inner": 96,
    "dim_ff": 96,
    "d_ff": 96,
    "ffn_hidden_size": 96,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "d_inner": 96,
    "dense_intermediate_size": 96,
    "moe_intermediate_size": 32,
    "shared_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "moe_shared_expert_intermediate_size": 32,
    "expert_ffn_hidden_size": 32,
    "moe_shared_intermediate_size": 32,
    # heads
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_heads": 4,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "head_dim": 16,
    "attention_head_dim": 16,
    "d_kv": 16,
    "d_head": 16,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "qk_head_dim": 24,
    "global_head_dim": 16,
    "index_head_dim": 16,
    "index_n_heads": 4,
    "index_topk": 16,
    # sizes of the whole
    "vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY,
    "vocab_size_per_layer": VOCABULARY,
    "max_position_embeddings": 256,
    "n_positions": 256,
    "n_ctx": 256,
    "max_seq_len": 256,
    "sliding_window": 16,
    "hidden_size_per_layer_input": 8,
    "attention_chunk_size": 32,
    # mixtures
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "num_experts_per_token": 2,
    "moe_topk": 2,
    "moe_k": 2,
    "n_group": 1,
    "topk_group": 1,
    "num_expert_group": 1,
    # state spaces and linear attention
    "mamba_d_state": 8,
    "state_size": 8,
    "ssm_state_size": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_num_heads": 8,
    "mamba_head_dim": 16,
    "mamba_n_groups": 1,
    "n_groups": 1,
    "mamba_chunk_size": 16,
    "chunk_size": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "lru_width": 64,
    "mamba_d_ssm": 128,
    "rotary_dim": 8,
    "decoder_vocab_size": VOCABULARY,
}
LAYER_KEYS: Final = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "encoder_layers",
    "decoder_layers",
    "num_decoder_layers",
)
HEAD_KEYS: Final = ("num_attention_heads", "n_head", "n_heads", "num_heads")
TOKEN_KEYS: Final = ("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "unk_token_id")
KEY_VALUE_KEYS: Final = ("num_key_value_heads", "n_head_kv", "num_kv_heads", "n_kv_heads")

OVERRIDES: Final[Mapping[str, Mapping[str, Any]]] = {
    "axk1": {"head_dim": 8},
    "bamba": {"attn_layer_indices": [1]},
    "blenderbot": {"decoder_layers": 2},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2, "topk_group": 1, "n_group": 1},
    "deepseek_v3": {"head_dim": 8},
    "dots1": {
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "first_k_dense_replace": 1,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
    },
    "dots3_note": {
        "text_config": {"head_dim": 24},
        "vision_config": {"adapter_in_dim": 64, "adapter_input_size": 64},
    },
    "dots3_note_text": {"head_dim": 24},
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_n_heads": 8, "mamba_d_head": 16},
    "gemma3n_text": {"num_kv_shared_layers": 1, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "granitemoehybrid": {"layer_types": ["mamba", "attention", "mamba", "attention"]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "longcat_flash": {"head_dim": 8},
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "ministral": {"head_dim": 16},
    "nemotron": {"num_key_value_heads": 2},
    "xlstm": {"embedding_dim": 64},
    "xmod": {"default_language": "en_XX"},
    "youtu": {"head_dim": 8},
}
"""Keys of a type's configuration that it needs beyond the rules, nested as there."""


def small(model_type: str) -> Any:
    """Return a configuration of that type that builds and runs on a CPU in a second or two."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    given = OVERRIDES.get(model_type, {})
    kind = CONFIG_MAPPING[model_type]
    document = _plain(kind(**given.get("defaults", {})))
    cut(document)
    _merge(document, {key: value for key, value in given.items() if key != "defaults"})
    document.pop("model_type", None)
    return AutoConfig.for_model(model_type, **document)


def _plain(config: Any) -> dict[str, Any]:
    document: dict[str, Any] = config.to_dict()
    for key in ("transformers_version", "architectures", "dtype", "torch_dtype", "_name_or_path"):
        document.pop(key, None)
    return document


def cut(section: dict[str, Any]) -> None:
    """Cut one section of a configuration and those inside it, in place."""
    kept = None
    heads = next((section[key] for key in HEAD_KEYS if isinstance(section.get(key), int)), 0)
    layers = next((section[key] for key in LAYER_KEYS if isinstance(section.get(key), int)), 0)
    for key, value in list(section.items()):
        if isinstance(value, dict) and value and all(str(name).isdigit() for name in value):
            kept = kept or _kept(section, layers)
            section[key] = _renumbered(value, kept)
        elif isinstance(value, dict) and key not in ("id2label", "label2id"):
            cut(value)
        elif isinstance(value, list) and layers and len(value) == layers:
            kept = kept or _kept(section, layers)
            section[key] = [value[index] for index in kept]
        elif isinstance(value, bool) or value is None:
            continue
        elif key in RULES and isinstance(value, int):
            section[key] = min(value, RULES[key])
        elif key in LAYER_KEYS and isinstance(value, int):
            section[key] = min(value, LAYERS)
        elif key in KEY_VALUE_KEYS and isinstance(value, int):
            # As many as heads, where it is so: multi-head latent attention wants that.
            section[key] = 4 if value == heads else 1 if value == 1 else 2
        elif key in TOKEN_KEYS and isinstance(value, int) and value >= VOCABULARY:
            section[key] = TOKEN_KEYS.index(key)
    _rope(section)


def _renumbered(table: Mapping[Any, Any], kept: list[int]) -> dict[int, Any]:
    """Return a table of layers, by their numbers after the cut."""
    found = {kept.index(int(name)): value for name, value in table.items() if int(name) in kept}
    for value in found.values():
        if isinstance(value, dict):
            cut(value)
    return found


def _kept(section: Mapping[str, Any], layers: int) -> list[int]:
    """Return the layers that are kept: the first of each kind, then those that follow, in order."""
    kinds = [
        tuple(repr(value[index]) for value in section.values() if isinstance(value, list) and len(value) == layers)
        for index in range(layers)
    ]
    firsts = [kinds.index(kind) for kind in dict.fromkeys(kinds)][:LAYERS]
    rest = [index for index in range(layers) if index not in firsts]
    return sorted(firsts + rest[: LAYERS - len(firsts)])


def _rope(section: dict[str, Any]) -> None:
    """Fit the sections of a rotary embedding of several axes to heads of 16."""
    for table in (section.get("rope_parameters"), section.get("rope_scaling")):
        if isinstance(table, dict) and isinstance(table.get("mrope_section"), list):
            table["mrope_section"] = [4, 2, 2][: len(table["mrope_section"])]


def _merge(document: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            _merge(document[key], value)
        else:
            document[key] = value
