"""A model's config.json: its own where it is on this machine, else written from the facts of planning."""

from __future__ import annotations

import json
from typing import Any

from recommender.model.family_table import family_of
from recommender.model.spec import ModelSpec


def architecture_of(model: ModelSpec) -> dict[str, Any]:
    """The config.json document that Transformers builds the model from.

    Args:
        model: One that is supported: see `ModelSpec.unsupported`.
    """
    if model.config is not None:
        return dict(model.config)
    if model.path is not None and (model.path / "config.json").is_file():
        document: dict[str, Any] = json.loads((model.path / "config.json").read_text(encoding="utf-8"))
        document.setdefault("model_type", model.model_type)
        return document
    return _from_facts(model)


def _from_facts(model: ModelSpec) -> dict[str, Any]:
    has_bias = any(linear.bias for linear in model.linears if linear.name in {"gate_proj", "down_proj"})
    document: dict[str, Any] = {
        "model_type": model.model_type,
        "hidden_size": model.hidden_size,
        "num_hidden_layers": model.num_layers,
        "intermediate_size": model.intermediate_size,
        "num_attention_heads": model.num_heads,
        "num_key_value_heads": model.num_kv_heads,
        "head_dim": model.head_dim,
        "vocab_size": model.vocab_size,
        "tie_word_embeddings": model.tied,
        "max_position_embeddings": model.max_position_embeddings,
        "attention_bias": model.attention_bias,
        "mlp_bias": has_bias,
        "sliding_window": model.sliding_window,
        "final_logit_softcapping": model.final_logit_softcapping,
        "attn_logit_softcapping": model.attn_logit_softcapping,
    }
    family = family_of(model.model_type)
    if family.sliding_switch:
        document["use_sliding_window"] = model.sliding_window is not None
    if family.experts is not None:
        document |= {
            "num_local_experts": model.num_experts,
            "num_experts": model.num_experts,
            "num_experts_per_tok": model.experts_per_token,
            family.experts.width_key: model.moe_intermediate_size,
        }
    return document
