"""Architecture families as the evidence knows them."""

from __future__ import annotations

from collections.abc import Mapping

from recommender.model.spec import ModelSpec

_SWEPT: Mapping[str, str] = {
    "llama": "llama",
    "qwen2": "qwen",
    "qwen2_moe": "qwen",
    "qwen3": "qwen",
    "qwen3_moe": "qwen",
    "qwen3_vl": "qwen",
    "qwen3_vl_moe": "qwen",
    "gpt_oss": "gpt_oss",
    "deepseek_v3": "deepseek",
    "kimi_k2": "deepseek",
    "kimi_k25": "deepseek",
    "nemotron_h": "nemotron",
}
"""Family by `model_type`. Qwen 2.5 counts with Qwen 3, as in the published law; Kimi K2 is built as
DeepSeek V3."""

TAKEN_AS: Mapping[str, str] = {
    "qwen2": "Qwen 2 and 2.5 were not swept, and are taken as Qwen 3.",
    "qwen2_moe": "Qwen 2 and 2.5 were not swept, and are taken as Qwen 3.",
}
"""Sentence on a model type outside the sweep that is treated as a related one in it, by model type."""


def sweep_family(model: ModelSpec) -> str:
    """The model's family in the sweep; empty where no member was swept."""
    if model.model_type.startswith("qwen3_5"):
        return "qwen3_5"
    return _SWEPT.get(model.model_type, "")
