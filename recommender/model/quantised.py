"""Recognises weights that are quantised on disk already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BNB_4BIT = "bnb-4bit"

_WRITTEN = {
    "gptq": "GPTQ",
    "awq": "AWQ",
    "fp8": "FP8",
    "fbgemm_fp8": "FP8",
    "mxfp4": "MXFP4",
    "bnb-8bit": "8-bit bitsandbytes",
    "compressed-tensors": "compressed-tensors",
}
"""The written name of a method, where that is not the method's own name."""

IN_16_BITS: Mapping[str, str] = {
    "gpt-oss-20b": "unsloth/gpt-oss-20b-BF16",
    "gpt-oss-120b": "unsloth/gpt-oss-120b-BF16",
}
"""Last part of a name to a copy on the hub in 16 bits, where whoever made the model gave out none."""


def quantisation(settings: Mapping[str, Any] | None) -> str | None:
    """Name the quantisation that a config.json's `quantization_config` describes; None for unquantised weights.

    bitsandbytes says its width in `load_in_4bit` and `load_in_8bit` (Transformers' BitsAndBytesConfig); older files
    of it have no `quant_method`. Any other method keeps its own name.
    """
    if not settings:
        return None
    method = settings.get("quant_method")
    if method in (None, "bitsandbytes"):
        if settings.get("load_in_4bit") or settings.get("_load_in_4bit"):
            return BNB_4BIT
        if settings.get("load_in_8bit") or settings.get("_load_in_8bit"):
            return "bnb-8bit"
    if method == "fbgemm_fp8":
        return "fp8"
    return str(method) if method else "unknown"


def refusal(method: str | None, name: str) -> str:
    """The reason why weights quantised like that cannot be tuned here, and what can be instead.

    Args:
        method: As `quantisation` gives it.
        name: What the model is called; its last part says whose weights they are.

    Returns:
        Empty for unquantised weights and for bnb-4bit.
    """
    if method is None or method == BNB_4BIT:
        return ""
    written = _WRITTEN.get(method, method)
    same = next((copy for own, copy in IN_16_BITS.items() if name.rstrip("/").lower().endswith(own)), None)
    if same is None:
        plain = f"the model in 16 bits, usually under the same name without {written}"
    else:
        plain = f"{same}, the same weights in 16 bits"
    return f"its weights are already quantised ({written}), which cannot be trained here. Take {plain}."
