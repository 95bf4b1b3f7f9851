"""Architecture families as the evidence knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recommender.model.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class RateLaw:
    """A published law of the LoRA learning rate by width: 5e-5 × 10 × (2000 / hidden_size)^exponent."""

    family: str
    exponent: float


LAWS: Mapping[str, RateLaw] = {
    "llama": RateLaw("Llama", 0.781),
    "qwen2": RateLaw("Qwen", 0.0775),
    "qwen2_moe": RateLaw("Qwen", 0.0775),
    "qwen3": RateLaw("Qwen", 0.0775),
    "qwen3_moe": RateLaw("Qwen", 0.0775),
}
"""By `model_type`. Exponents: tinker_cookbook.hyperparam_utils as first published (2025); later versions of that file
replaced the law by a table of swept models, which has the same order of magnitude."""

_SWEPT = {
    "llama": "llama",
    "qwen2": "qwen",
    "qwen2_moe": "qwen",
    "qwen3": "qwen",
    "qwen3_moe": "qwen",
    "qwen3_vl": "qwen",
    "gpt_oss": "gpt_oss",
    "deepseek_v3": "deepseek",
}


def rate_law(model: ModelSpec) -> RateLaw | None:
    """The law calibrated for this model's family, or None."""
    return LAWS.get(model.model_type)


def sweep_family(model: ModelSpec) -> str:
    """The model's family in the sweep's table; empty where no member was swept."""
    if model.model_type.startswith("qwen3_5"):
        return "qwen3_5"
    return _SWEPT.get(model.model_type, "")
