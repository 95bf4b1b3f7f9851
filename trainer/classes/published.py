"""Weights in the forms in which makers publish them (MXFP4, FP8), unpacked one tensor at a time while they are loaded.

Transformers unpacks such a checkpoint to 16 bits only, not to bitsandbytes' 4 bits, and its FP8 wants sizes that are
multiples of the blocks, which DeepSeek's are not (`Fp8Dequantize`, 5.23). So the tensors are given to it as a state
dictionary that unpacks each one when it is read: whatever the model is loaded as, it sees a checkpoint in 16 bits, of
which one tensor is in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open

from presets.errors import InputError
from recommender.model.quantised import MXFP4, UNPACKED, is_scale, quantisation
from recommender.model.sources.headers import weight_files

E2M1: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Magnitudes of the 4-bit float E2M1 by its low three bits; the fourth is the sign (OCP Microscaling Formats v1.0)."""
E8M0_BIAS: Final = 127
"""A scale's byte is the exponent of two, plus this (the same, section 5.4.1)."""
ROWS: Final = 1024
"""Rows of an FP8 matrix that are unpacked at once."""


@dataclass(frozen=True, slots=True)
class Lazy:
    """A tensor that is read, and unpacked, when it is indexed: what Transformers takes in place of a file's slice."""

    shape: tuple[int, ...]
    """As it is once read."""
    file: Path
    """That it lies in; its scales may lie in another one."""
    read: Callable[[], torch.Tensor]

    def __getitem__(self, index: Any) -> torch.Tensor:
        """The tensor, or a part of it."""
        return self.read()[index]

    def get_shape(self) -> list[int]:
        """The shape, by the name that a safetensors slice has for it."""
        return list(self.shape)


def published_form(folder: Path) -> str | None:
    """The form that a model folder's weights are unpacked from: one of `UNPACKED`; None for any other folder."""
    method = quantisation(_settings(folder))
    return method if method in UNPACKED else None


def published_tensors(
    folder: Path, dtype: torch.dtype = torch.bfloat16, device: str | int | torch.device = "cpu"
) -> dict[str, Lazy]:
    """Every weight of a published checkpoint by its name in 16 bits, unpacked when it is read.

    Args:
        folder: A model's, of a `published_form`.
        dtype: Of the unpacked weights; those that are not packed keep theirs.
        device: Where they are unpacked: on a GPU in a fraction of the time.

    Raises:
        InputError: Its files are missing or torn, or a weight is packed in a form that is not known.
    """
    method = published_form(folder)
    assert method is not None
    files = _Files(weight_files(folder))
    if method == MXFP4:
        return dict(_of_mxfp4(files, dtype, device))
    return dict(_of_fp8(files, _block_size(_settings(folder)), dtype, device))


def unpacked_bytes(folder: Path) -> int:
    """Bytes of a published model's weights once they are in 16 bits; 0 for a folder whose weights are not packed."""
    if published_form(folder) is None:
        return 0
    return sum(2 * prod(tensor.shape) for tensor in published_tensors(folder).values())


def unpack_mxfp4(
    blocks: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype, device: str | int | torch.device = "cpu"
) -> torch.Tensor:
    """Unpack gpt-oss's fused experts: (experts, rows, groups, 16) bytes to (experts, groups × 32, rows) of `dtype`.

    A byte holds two E2M1 values, the lower four bits first; each group of 32 shares a power of two. Exact in bf16, in
    which it is computed: a byte's two values are looked up as one word of 32 bits. One expert is unpacked at a time.
    Equal to Transformers' `convert_moe_packed_tensors`.

    Args:
        blocks: uint8.
        scales: uint8, (experts, rows, groups).
        dtype: Of the result.
        device: Where it is computed, and stays.
    """
    experts, rows, groups, width = blocks.shape
    levels = torch.tensor([*E2M1, *(-level for level in E2M1)], dtype=torch.bfloat16, device=device)
    byte = torch.arange(256, device=device)
    pairs = torch.stack((levels[byte & 15], levels[byte >> 4]), dim=-1).view(torch.int32).flatten()
    unpacked = torch.empty(experts, groups * width * 2, rows, dtype=dtype, device=device)
    for expert in range(experts):
        packed = blocks[expert].to(device).flatten().to(torch.int32)
        numbers = pairs.index_select(0, packed).view(torch.bfloat16).view(rows, groups, width * 2)
        powers = torch.exp2(scales[expert].to(device).float() - E8M0_BIAS).to(torch.bfloat16)
        unpacked[expert] = numbers.mul_(powers[..., None]).view(rows, -1).T
    return unpacked


def unpack_fp8(
    weight: torch.Tensor,
    scale: torch.Tensor,
    block: tuple[int, int] | None,
    dtype: torch.dtype,
    device: str | int | torch.device = "cpu",
) -> torch.Tensor:
    """Multiply an FP8 weight (…, rows, columns) with its scales, in fp32, rounded once to `dtype`.

    Args:
        weight: float8_e4m3fn, of any leading dimensions.
        scale: One value; one a row or a column; or a grid of one a block, whose last blocks may be cut.
        block: Rows and columns of a block; None where the grid says it.
        dtype: Of the result.
        device: Where it is computed, and stays.

    Raises:
        InputError: The grid is not that of the weight.
    """
    factors = scale.to(device)
    factors = torch.exp2(factors.float() - E8M0_BIAS) if factors.dtype == torch.uint8 else factors.float()
    if factors.numel() == 1:
        factors = factors.reshape(1, 1)
    elif factors.dim() == 1:
        # One an expert, or one a row.
        factors = factors[:, None, None] if weight.dim() > 2 else factors[:, None]
    rows, columns = weight.shape[-2:]
    high = _spread(factors, -2, rows, block[0] if block else None)
    unpacked = torch.empty(weight.shape, dtype=dtype, device=device)
    for start in range(0, rows, ROWS):
        part = slice(start, min(start + ROWS, rows))
        wide = _spread(high[..., part, :], -1, columns, block[1] if block else None)
        unpacked[..., part, :] = (weight[..., part, :].to(device).float() * wide).to(dtype)
    return unpacked


def _spread(factors: torch.Tensor, dim: int, size: int, block: int | None) -> torch.Tensor:
    """Repeat the scales of blocks along a dimension to the `size` of the weight; a single one is left to broadcast."""
    count = factors.shape[dim]
    if count == 1:
        return factors.expand(*factors.shape[:dim], size, *factors.shape[dim:][1:]) if dim == -2 else factors
    width = block if block and count == -(-size // block) else -(-size // count)
    if count != -(-size // width):
        raise InputError(
            f"An FP8 weight of {size} has {count} scales, which are no blocks of it.",
            remedy="Download the model again; if it is so on the hub, take the same model in 16 bits.",
        )
    return factors.repeat_interleave(width, dim=dim).narrow(dim, 0, size)


class _Files:
    """The tensors of a model's files, opened once and read one at a time."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._open: dict[Path, Any] = {}
        self.place: dict[str, Path] = {}
        for path in paths:
            try:
                self._open[path] = safe_open(str(path), framework="pt")
            except (OSError, ValueError, RuntimeError) as problem:
                raise InputError(f"{path} cannot be read: {problem}", remedy="Download the model again.") from problem
            self.place |= dict.fromkeys(self._open[path].keys(), path)

    def read(self, name: str) -> torch.Tensor:
        """One tensor."""
        found: torch.Tensor = self._open[self.place[name]].get_tensor(name)
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one, without reading it."""
        return tuple(self._open[self.place[name]].get_slice(name).get_shape())

    def is_fp8(self, name: str) -> bool:
        """Whether it is stored in eight bits with four of exponent."""
        return str(self._open[self.place[name]].get_slice(name).get_dtype()).startswith("F8_E4M3")


def _of_mxfp4(files: _Files, dtype: torch.dtype, device: Any) -> Iterator[tuple[str, Lazy]]:
    for name in files.place:
        owner = name.removesuffix("_blocks")
        if owner != name and f"{owner}_scales" in files.place:
            experts, rows, groups, width = files.shape(name)

            def unpacked(owner: str = owner) -> torch.Tensor:
                return unpack_mxfp4(files.read(f"{owner}_blocks"), files.read(f"{owner}_scales"), dtype, device)

            yield owner, Lazy((experts, groups * width * 2, rows), files.place[name], unpacked)
        elif not (name.endswith("_scales") and name.removesuffix("_scales") + "_blocks" in files.place):
            yield name, Lazy(files.shape(name), files.place[name], partial(files.read, name))


def _of_fp8(
    files: _Files, block: tuple[int, int] | None, dtype: torch.dtype, device: Any
) -> Iterator[tuple[str, Lazy]]:
    for name in files.place:
        if is_scale(name, files.place):
            continue
        if not files.is_fp8(name):
            yield name, Lazy(files.shape(name), files.place[name], partial(files.read, name))
            continue
        scale = _scale_of(name, files.place)

        def unpacked(name: str = name, scale: str = scale) -> torch.Tensor:
            return unpack_fp8(files.read(name), files.read(scale), block, dtype, device)

        yield name, Lazy(files.shape(name), files.place[name], unpacked)


def _scale_of(name: str, names: Mapping[str, Any]) -> str:
    """The name of an FP8 weight's scales: Transformers', compressed-tensors' and FBGEMM's, DeepSeek's later ones."""
    owner = name.removesuffix(".weight")
    for found in (f"{name}_scale_inv", f"{name}_scale", f"{owner}.scale", f"{owner}.qscale_weight"):
        if found in names:
            return found
    raise InputError(
        f"{name} is stored in FP8 and no tensor beside it is its scale.",
        remedy="Take the same model in 16 bits: this form of FP8 is not known.",
    )


def _settings(folder: Path) -> dict[str, Any] | None:
    """The `quantization_config` of a folder's config.json: of the model, or of its text part."""
    document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    inner = document.get("text_config")
    return document.get("quantization_config") or (inner or {}).get("quantization_config")


def _block_size(settings: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """Rows and columns of a block, by `weight_block_size`; None where scales are of other kinds."""
    size = (settings or {}).get("weight_block_size")
    return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None
