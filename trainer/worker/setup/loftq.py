"""LoftQ over bitsandbytes' 4-bit layers: the adapter starts as the quantisation error (Li et al. 2023).

PEFT 0.21 has `replace_lora_weights_loftq` for it, which needs CUDA, decomposes every weight in full, and leaves the
adapter's scale out, so that with lora_alpha other than r it adds a multiple of what was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from bitsandbytes.functional import dequantize_4bit
from peft.tuners.lora import Linear4bit
from safetensors import safe_open

from presets.errors import InputError
from recommender.model.sources.headers import read_entries, weight_files
from trainer.classes.names import loads_into

PREFIX: Final = "base_model.model."
ITERATIONS: Final = 16
"""Iterations of the randomised decomposition, as in PEFT's pissa_niter_16."""
OVERSAMPLED: Final = 8
"""Directions of the decomposition beyond the rank, so that the rank's own are right (Halko et al. 2009)."""
NAME: Final = "default"


@torch.no_grad()
def start_from_loftq(model: Any, folder: Path) -> None:
    """Set A and B of every 4-bit layer so that the scaled update is nearest to weight less rounded weight.

    Args:
        model: A PEFT model over bitsandbytes' 4-bit layers.
        folder: Where the safetensors files of the weights before rounding are.

    Raises:
        InputError: A layer's weight is not in the files.
    """
    files = _files(folder, model.get_base_model())
    for name, layer in model.named_modules():
        if isinstance(layer, Linear4bit) and NAME in layer.lora_A:
            rounded = layer.get_base_layer().weight
            whole = _read(files, f"{name.removeprefix(PREFIX)}.weight").to(rounded.device, torch.float32)
            lost = whole - dequantize_4bit(rounded.data, rounded.quant_state).to(torch.float32)
            _set(layer, lost)


def _set(layer: Any, lost: torch.Tensor) -> None:
    """Set A and B so that B·A, scaled, is the best approximation of `lost` (out × in) at the layer's rank."""
    rank, scale = layer.r[NAME], layer.scaling[NAME]
    left, values, right = torch.svd_lowrank(lost, q=min(rank + OVERSAMPLED, *lost.shape), niter=ITERATIONS)
    root = (values[:rank] / scale).sqrt()
    for weight, value in (
        (layer.lora_B[NAME].weight, left[:, :rank] * root),
        (layer.lora_A[NAME].weight, (right[:, :rank] * root).T),
    ):
        weight.data = value.to(weight.device, weight.dtype).contiguous()


def _files(folder: Path, base: Any) -> Mapping[str, tuple[Path, str]]:
    """Map each parameter's name in the class to the file that holds it and its name there."""
    loads = loads_into(base)
    return {loads(name): (path, name) for path in weight_files(folder) for name in read_entries(path)}


def _read(files: Mapping[str, tuple[Path, str]], name: str) -> torch.Tensor:
    if name not in files:
        raise InputError(
            f"The weight {name} is not in the model's files, so LoftQ cannot tell what rounding lost.",
            remedy="Set lora.init_lora_weights to true.",
        )
    path, stored = files[name]
    with safe_open(path, framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(stored)
    return tensor
