"""What is known of a model type beside its layers: precision, attention kernels, and the evidence on learning rates.

Model types stand here that no plan can be made for, too; the layers of those it can are in `family_table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from recommender.model.spec import ModelSpec

Fp16 = Literal["ok", "disputed", "overflows"]
"""Training in fp16: without objection; refused by some and done by others; activations beyond its range."""


FLASH_WIDTH = 256
"""Widest head of flash-attn 2's kernels; Gemma 4's layers that see all tokens have 512, at which a run stops in its
first step (Dao-AILab/flash-attention#2427, NovaSky-AI/SkyRL#1564)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One `model_type`."""

    fp16: Fp16 = "ok"
    """overflows: huggingface/transformers issue 36822 (NaN on cards without bf16) and unslothai/unsloth pull 4014
    (activations reach 800 000, fp16 ends at 65 504). disputed: vLLM refuses it in fp16 for numerical instability
    (`_FLOAT16_NOT_SUPPORTED_MODELS`, vllm/config), and Unsloth trains in it (its Gemma 2 notebooks run on a T4; its
    `FORCE_FLOAT32` names Gemma 3 and not this)."""
    flash: bool = True
    """Whether flash-attn 2 can run it: not with attention sinks, nor with heads wider than `FLASH_WIDTH`."""
    sdpa: bool = True
    """Whether Transformers 5.23 runs its attention by SDPA (`_supports_sdpa`): not with soft-capped scores or attention
    sinks."""
    sweep: str = ""
    """Its family in the sweep of learning rates; empty where no member was swept. Qwen 2.5 counts with Qwen 3, as in
    the published law; Kimi K2 is built as DeepSeek V3."""
    taken_as: str = ""
    """Sentence on a model type outside the sweep that is treated as a related one in it; empty for all others."""


_QWEN_2 = "Qwen 2 and 2.5 were not swept, and are taken as Qwen 3."

FACTS: Mapping[str, Facts] = MappingProxyType(
    {
        "llama": Facts(sweep="llama"),
        "qwen2": Facts(sweep="qwen", taken_as=_QWEN_2),
        "qwen2_moe": Facts(sweep="qwen", taken_as=_QWEN_2),
        "qwen3": Facts(sweep="qwen"),
        "qwen3_moe": Facts(sweep="qwen"),
        "qwen3_vl": Facts(sweep="qwen"),
        "qwen3_vl_moe": Facts(sweep="qwen"),
        "gemma2": Facts(fp16="disputed", sdpa=False),
        "gemma3": Facts(fp16="overflows"),
        "gemma3_text": Facts(fp16="overflows"),
        "gemma3n_text": Facts(fp16="overflows"),
        "vaultgemma": Facts(sdpa=False),
        "gpt_oss": Facts(flash=False, sdpa=False, sweep="gpt_oss"),
        "deepseek_v3": Facts(sweep="deepseek"),
        "kimi_k2": Facts(sweep="deepseek"),
        "kimi_k25": Facts(sweep="deepseek"),
        "nemotron_h": Facts(sweep="nemotron"),
    }
)
_QWEN_3_5, _OTHER = Facts(sweep="qwen3_5"), Facts()


def facts_of(model_type: str) -> Facts:
    """The facts of a model type; the defaults where nothing is known of it. All of Qwen 3.5's are one family."""
    return _QWEN_3_5 if model_type.startswith("qwen3_5") else FACTS.get(model_type, _OTHER)


def facts(model: ModelSpec) -> Facts:
    """The facts of a model: of its type, else of its text part's; the attention that runs is its class's own word."""
    found = facts_of(model.model_type)
    if model.anatomy is None:
        return found
    if found == _OTHER:
        found = facts_of(model.anatomy.text_type)
    flash = model.anatomy.supports_flash and model.head_dim <= FLASH_WIDTH
    return replace(found, sdpa=model.anatomy.supports_sdpa, flash=flash)
