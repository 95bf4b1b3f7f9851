"""Programs that can use a run's adapter as it is, and those that need it merged, each with the reason.

From what they read of an adapter: vLLM's `lora/peft_helper.py` and `config/lora.py`, llama.cpp's
`convert_lora_to_gguf.py` (both as of 2026), PEFT 0.21's `tuners/lora/layer.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

VLLM_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM takes as --max-lora-rank; an adapter of a smaller one is served too."""


def only_over_its_base(config: Mapping[str, Any]) -> str:
    """The reason why an adapter goes with no plainly loaded base, not even under PEFT; empty where it does.

    Args:
        config: The run's configuration as a document.
    """
    lora = _section(config, "lora")
    if lora.get("init_lora_weights") == "loftq":
        return "LoftQ's adapter makes up for the 4 bits that it was trained over"
    if config.get("rope_scaling"):
        return "it was trained with stretched positions"
    return ""


def unknown_to_vllm(config: Mapping[str, Any]) -> str:
    """The reason why vLLM does not serve the adapter as it is; empty where it does."""
    lora = _section(config, "lora")
    if why := only_over_its_base(config) or _beside_factors(lora):
        return why
    if lora.get("rank_pattern") or lora.get("alpha_pattern"):
        return "vLLM knows one scale for a whole adapter, and this one has several"
    return "vLLM takes ranks up to 512" if _rank(lora) > VLLM_RANKS[-1] else ""


def unknown_to_llama_cpp(config: Mapping[str, Any]) -> str:
    """The reason why llama.cpp does not take the adapter as it is; empty where it does."""
    lora = _section(config, "lora")
    if why := only_over_its_base(config) or _beside_factors(lora):
        return why
    if lora.get("use_rslora") or lora.get("alpha_pattern"):
        return "llama.cpp scales by alpha / r only"
    return ""


def vllm_rank(config: Mapping[str, Any]) -> int:
    """The adapter's rank rounded up to one that vLLM accepts."""
    wanted = _rank(_section(config, "lora"))
    return next((size for size in VLLM_RANKS if size >= wanted), VLLM_RANKS[-1])


def _beside_factors(lora: Mapping[str, Any]) -> str:
    """The reason why two factors for each layer do not hold all of the adapter; empty where they do."""
    if lora.get("use_dora"):
        return "DoRA has a magnitude beside LoRA's two factors"
    if lora.get("modules_to_save"):
        return "modules trained whole (modules_to_save) go with it"
    if lora.get("bias") not in (None, "none"):
        return "trained biases go with it"
    start = str(lora.get("init_lora_weights"))
    if start.startswith(("pissa", "olora")):
        return f"{start} moved a part of the base's weights into it"
    return ""


def _rank(lora: Mapping[str, Any]) -> int:
    rank = lora.get("r")
    return rank if isinstance(rank, int) else 16


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}
