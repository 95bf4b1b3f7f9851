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
"""How a method is written for a person, where that is not the method's own name."""


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


def refusal(method: str | None) -> str:
    """Why weights quantised like that cannot be tuned here; empty for unquantised ones and for bnb-4bit."""
    if method is None or method == BNB_4BIT:
        return ""
    return (
        f"Its weights are already quantised ({_WRITTEN.get(method, method)}), which is not priced or trained here yet: "
        "take the original 16-bit weights, and qlora will quantise them itself."
    )
