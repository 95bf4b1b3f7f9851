"""Recognises weights that are quantised on disk: used as they are, unpacked while they are loaded, or refused.

4 bits by bitsandbytes are trained over as they are. MXFP4 and FP8, in which makers publish models, are unpacked layer
by layer (`trainer.classes.published`) and from there on are a model in 16 bits. Of the others nothing is trained: what
was rounded cannot be had back, and no gradient passes through their products.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

BNB_4BIT: Final = "bnb-4bit"
MXFP4: Final = "mxfp4"
FP8: Final = "fp8"
UNPACKED: Final = frozenset({MXFP4, FP8})
"""Methods whose weights are unpacked to the precision of the plan while they are loaded."""

WRITTEN: Final[Mapping[str, str]] = {
    "gptq": "GPTQ",
    "awq": "AWQ",
    "fp8": "FP8",
    "mxfp4": "MXFP4",
    "nvfp4": "NVFP4",
    "bnb-8bit": "8-bit bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "modelopt": "ModelOpt",
}
"""The written name of a method, where that is not the method's own name."""

UNPACKED_A_SECOND: Final[Mapping[str, float]] = {MXFP4: 60e6, FP8: 38e6}
"""Values that a CPU of two cores unpacks in a second: measured with `trainer.classes.published` on this project's
machine under other load, 30 November 2026."""

_FP8_PARTS: Final = (
    *(".weight_scale_inv", ".weight_scale", ".activation_scale", ".input_scale", ".scale", ".qscale_weight"),
    *("_scale_inv", "_scale", ".k_scale", ".v_scale", ".qscale_act"),
)
"""Ends of the names of FP8's scales: Transformers' and DeepSeek's own, compressed-tensors', FBGEMM's, ModelOpt's."""
_ENDINGS: Final = re.compile(
    r"[-_.](?:gptq|awq|int[48]|w[48]a(?:16|8)|[48]bits?|g(?:s)?\d+|fp8|nvfp4|mxfp4|bnb|exl[23]|hqq|aqlm|autoround|quantized|"
    r"marlin|dynamic|static|pertensor|block)(?=$|[-_.])",
    re.IGNORECASE,
)
"""Parts that a quantised copy's name has beyond the name of the model."""


def quantisation(settings: Mapping[str, Any] | None) -> str | None:
    """Name the quantisation that a config.json's `quantization_config` describes; None for unquantised weights.

    bitsandbytes says its width in `load_in_4bit` and `load_in_8bit` (Transformers' BitsAndBytesConfig); older files
    of it have no `quant_method`. FP8 is written by several: FineGrainedFP8 and FBGEMM (Transformers),
    compressed-tensors (`format`), ModelOpt (`quant_algo`). Any other method keeps its own name.
    """
    if not settings:
        return None
    method = settings.get("quant_method")
    if method in (None, "bitsandbytes"):
        if settings.get("load_in_4bit") or settings.get("_load_in_4bit"):
            return BNB_4BIT
        if settings.get("load_in_8bit") or settings.get("_load_in_8bit"):
            return "bnb-8bit"
    if method == "fbgemm_fp8" or (method == "compressed-tensors" and settings.get("format") == "float-quantized"):
        return FP8
    if method == "modelopt" or (method is None and "quant_algo" in settings):
        algorithm = str(settings.get("quant_algo", "")).lower()
        return algorithm if algorithm in (FP8, "nvfp4") else "modelopt"
    return str(method) if method else "unknown"


def refusal(method: str | None, name: str, base: str = "") -> str:
    """The reason why weights quantised like that cannot be tuned here, and what can be instead.

    Args:
        method: As `quantisation` gives it.
        name: What the model is called; its last part says whose weights they are.
        base: The unquantised repository, where the model's card names it.

    Returns:
        Empty for unquantised weights, for bnb-4bit, and for what is unpacked.
    """
    if method is None or method == BNB_4BIT or method in UNPACKED:
        return ""
    written = WRITTEN.get(method, method)
    same = base or unquantised(name)
    plain = (
        f"{same}, the same weights in 16 bits"
        if same
        else "the model in 16 bits, usually under the same name " + (f"without {written}")
    )
    return f"its weights are quantised ({written}), and nothing can be trained over that form. Take {plain}."


def unquantised(name: str) -> str:
    """The repository of the catalogue whose quantised copy `name` says it is; empty where the catalogue has none."""
    from presets.models import load_models

    last = name.rstrip("/").rpartition("/")[2]
    short = _ENDINGS.sub("", last).lower()
    if short == last.lower():
        return ""
    for model in load_models():
        for hub_id in (model.hub_id, *model.aliases):
            if hub_id.rpartition("/")[2].lower() == short:
                return hub_id
    return ""


def unpacked_shapes(shapes: Mapping[str, tuple[int, ...]], method: str) -> dict[str, tuple[int, ...]]:
    """The parameters that packed tensors stand for: name to shape, as they are once unpacked.

    Args:
        shapes: Of the tensors in the files.
        method: One of `UNPACKED`.

    Returns:
        Scales are left out. MXFP4's blocks (experts, rows, groups, 16 bytes) stand for (experts, columns, rows), as
        Transformers' class of gpt-oss holds them.
    """
    if method == FP8:
        return {name: shape for name, shape in shapes.items() if not is_scale(name, shapes)}
    found = {}
    for name, shape in shapes.items():
        if name.endswith("_blocks") and name.removesuffix("_blocks") + "_scales" in shapes and len(shape) > 2:
            *experts, rows, groups, width = shape
            found[name.removesuffix("_blocks")] = (*experts, groups * width * 2, rows)
        elif not (name.endswith("_scales") and name.removesuffix("_scales") + "_blocks" in shapes):
            found[name] = shape
    return found


def is_scale(name: str, names: Mapping[str, Any]) -> bool:
    """Whether a tensor of an FP8 checkpoint belongs to how another one is packed."""
    end = next((end for end in _FP8_PARTS if name.endswith(end)), None)
    if end is None:
        return False
    owner = name.removesuffix(end)
    if end in (".k_scale", ".v_scale"):
        return f"{owner}.k_proj.weight" in names
    return f"{owner}.weight" in names if end.startswith(".") else owner in names
