"""The building blocks of each architecture family, as Transformers builds it.

Read from `models/<model_type>/configuration_*.py` (what an absent key means) and `modeling_*.py` (the layers) of
Transformers 5.23; `tests/unit/model/test_families_torch.py` holds every line against the real classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

QkNorm = Literal["none", "head", "full"]
"""Norms of queries and keys: over one head's width, or over all heads together (OLMo)."""
Bias = Literal["never", "always", "attention_bias"]
"""The condition under which q, k and v have a bias: the last reads that key, and then o has one too."""


NormPosition = Literal["before", "after", "both"]
"""Where a norm of hidden width stands at each half of a layer: before it, after it (OLMo 2), or both (Gemma 2)."""


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts, whose experts are fused 3-D parameters since Transformers 5.

    They are no `nn.Linear`: bitsandbytes leaves them in 16 bits, and PEFT's all-linear does not see them.
    """

    width_key: str = "intermediate_size"
    """The key that holds one expert's inner width."""
    count: int = 8
    """Experts a layer where the key is absent."""
    per_token: int = 2
    bias: bool = False
    """Whether router and experts have biases (gpt-oss)."""
    clamps: bool = False
    """Whether gate and up are clamped before their product, which keeps more of them (gpt-oss)."""


@dataclass(frozen=True, slots=True)
class Family:
    """One `model_type`."""

    architecture: str
    tied: bool = False
    """Whether the head shares the embedding where `tie_word_embeddings` is absent."""
    norm_position: NormPosition = "before"
    qk_norm: QkNorm = "none"
    qkv_bias: Bias = "never"
    attention_bias: bool = False
    """The value of an absent `attention_bias`."""
    mlp_bias: bool = False
    """Whether the `mlp_bias` key is obeyed."""
    fused: bool = False
    """q, k and v in one `qkv_proj`, gate and up in one `gate_up_proj`."""
    experts: Experts | None = None
    attention_sinks: bool = False
    """One learned logit a head (gpt-oss)."""
    activation: str = "silu"
    sliding_window: int | None = None
    """The value of an absent key."""
    sliding_switch: bool = False
    """Whether `use_sliding_window` (off where absent) must be on for the window to count."""
    mixes_windows: bool = False
    """Whether some layers slide and others do not, and a mask is made for each kind; with a `sliding_switch`, where it
    is on."""
    wide_norms: bool = False
    """Whether a norm's weight is multiplied in fp32, before the cast back."""
    softcaps: tuple[float | None, float | None] = (None, None)
    """Final and attention logit soft-capping where absent."""
    defaults: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """The values of absent keys; num_key_value_heads without a default is num_attention_heads."""

    @property
    def norms(self) -> int:
        """Norms of hidden width in a layer."""
        return 4 if self.norm_position == "both" else 2


def _defaults(**keys: int) -> Mapping[str, int]:
    return MappingProxyType(keys)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama": Family(
            "LlamaForCausalLM",
            qkv_bias="attention_bias",
            mlp_bias=True,
            defaults=_defaults(max_position_embeddings=2048),
        ),
        "mistral": Family(
            "MistralForCausalLM",
            sliding_window=4096,
            defaults=_defaults(num_key_value_heads=8, max_position_embeddings=131072),
        ),
        "qwen2": Family(
            "Qwen2ForCausalLM",
            qkv_bias="always",
            sliding_window=4096,
            sliding_switch=True,
            mixes_windows=True,
            defaults=_defaults(num_key_value_heads=32, max_position_embeddings=32768),
        ),
        "qwen3": Family(
            "Qwen3ForCausalLM",
            qk_norm="head",
            qkv_bias="attention_bias",
            sliding_window=4096,
            sliding_switch=True,
            mixes_windows=True,
            defaults=_defaults(num_key_value_heads=32, head_dim=128, max_position_embeddings=32768),
        ),
        "gemma": Family(
            "GemmaForCausalLM",
            tied=True,
            qkv_bias="attention_bias",
            activation="gelu_pytorch_tanh",
            wide_norms=True,
            defaults=_defaults(num_key_value_heads=16, head_dim=256, max_position_embeddings=8192),
        ),
        "gemma2": Family(
            "Gemma2ForCausalLM",
            tied=True,
            norm_position="both",
            qkv_bias="attention_bias",
            activation="gelu_pytorch_tanh",
            sliding_window=4096,
            softcaps=(30.0, 50.0),
            mixes_windows=True,
            wide_norms=True,
            defaults=_defaults(num_key_value_heads=4, head_dim=256, max_position_embeddings=8192),
        ),
        "gemma3_text": Family(
            "Gemma3ForCausalLM",
            tied=True,
            norm_position="both",
            qk_norm="head",
            qkv_bias="attention_bias",
            activation="gelu_pytorch_tanh",
            sliding_window=4096,
            mixes_windows=True,
            wide_norms=True,
            defaults=_defaults(
                num_attention_heads=8,
                num_key_value_heads=4,
                head_dim=256,
                max_position_embeddings=131072,
                vocab_size=262208,
            ),
        ),
        "phi3": Family("Phi3ForCausalLM", fused=True, defaults=_defaults(max_position_embeddings=4096)),
        "smollm3": Family(
            "SmolLM3ForCausalLM",
            tied=True,
            qkv_bias="attention_bias",
            mlp_bias=True,
            sliding_switch=True,
            mixes_windows=True,
            defaults=_defaults(num_key_value_heads=4, max_position_embeddings=32768),
        ),
        "olmo2": Family(
            "Olmo2ForCausalLM",
            norm_position="after",
            qk_norm="full",
            qkv_bias="attention_bias",
            wide_norms=True,
            defaults=_defaults(max_position_embeddings=2048),
        ),
        "olmo3": Family(
            "Olmo3ForCausalLM",
            norm_position="after",
            qk_norm="full",
            qkv_bias="attention_bias",
            sliding_window=4096,
            mixes_windows=True,
            wide_norms=True,
            defaults=_defaults(max_position_embeddings=2048),
        ),
        "granite": Family(
            "GraniteForCausalLM",
            qkv_bias="attention_bias",
            mlp_bias=True,
            defaults=_defaults(max_position_embeddings=2048),
        ),
        "mixtral": Family(
            "MixtralForCausalLM",
            experts=Experts(),
            defaults=_defaults(num_key_value_heads=8, max_position_embeddings=131072),
        ),
        "qwen3_moe": Family(
            "Qwen3MoeForCausalLM",
            qk_norm="head",
            qkv_bias="attention_bias",
            experts=Experts(width_key="moe_intermediate_size", count=128, per_token=8),
            sliding_window=4096,
            sliding_switch=True,
            defaults=_defaults(num_key_value_heads=4, moe_intermediate_size=768, max_position_embeddings=32768),
        ),
        "olmoe": Family(
            "OlmoeForCausalLM",
            qk_norm="full",
            qkv_bias="attention_bias",
            experts=Experts(count=64, per_token=8),
            defaults=_defaults(max_position_embeddings=4096),
        ),
        "granitemoe": Family(
            "GraniteMoeForCausalLM",
            qkv_bias="attention_bias",
            experts=Experts(),
            defaults=_defaults(max_position_embeddings=2048),
        ),
        "gpt_oss": Family(
            "GptOssForCausalLM",
            qkv_bias="attention_bias",
            attention_bias=True,
            experts=Experts(count=128, per_token=4, bias=True, clamps=True),
            attention_sinks=True,
            sliding_window=128,
            mixes_windows=True,
            wide_norms=True,
            defaults=_defaults(num_key_value_heads=8, head_dim=64, max_position_embeddings=131072),
        ),
    }
)

OWN_CODE = Family("", qkv_bias="attention_bias", mlp_bias=True, defaults=_defaults(max_position_embeddings=2048))
"""Llama's layout, for models that bring a class of their own; held to their weights in `recommender.model.own_code`."""


def family_of(model_type: str) -> Family:
    """The family of a model that can be priced."""
    return FAMILIES.get(model_type, OWN_CODE)
