"""Fused experts in 4 bits: packing one expert at a time, and unpacking some of them for a product.

bitsandbytes quantises tensors of any shape in blocks of 64 values (`quantize_4bit`). Each expert is packed by itself,
so that no more than one needs to be in 16 bits and that some can be unpacked without the others; under double
quantisation its scales have a mean and blocks of their own, filled up to whole blocks of 256 scales.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import torch
from bitsandbytes.functional import QuantState, dequantize_4bit, dequantize_blockwise, quantize_4bit, quantize_blockwise
from torch import Tensor, nn

from recommender.memory.weights import NESTED_BLOCK, NF4_BLOCK
from trainer.worker.setup.experts.modules import Layout

PARTS: Final = ("absmax", "nested", "offset", "code")
"""What a packed weight needs beside its values, as parameters `NAME_PART` of its module; `absmax` alone without double
quantisation."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How fused experts are quantised: as the linear layers are."""

    quant_type: str
    nested: bool
    dtype: torch.dtype
    """That they are unpacked to, the precision of the products."""


def held_shapes(layout: Layout, nested: bool) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shapes and dtypes of what is held of a packed weight: its values under '', its scales under their parts."""
    blocks = blocks_of(layout)
    values = {"": ((layout.experts, (layout.values + 1) // 2), torch.uint8)}
    if not nested:
        return {**values, "absmax": ((layout.experts, blocks), torch.float32)}
    groups = math.ceil(blocks / NESTED_BLOCK)
    return {
        **values,
        "absmax": ((layout.experts, groups * NESTED_BLOCK), torch.uint8),
        "nested": ((layout.experts, groups), torch.float32),
        "offset": ((layout.experts, 1), torch.float32),
        "code": ((256,), torch.float32),
    }


def blocks_of(layout: Layout) -> int:
    """Blocks of 64 values of one expert, each with its scale."""
    return math.ceil(layout.values / NF4_BLOCK)


def pack(module: Any, name: str, experts: Iterable[Tensor], layout: Layout, packing: Packing) -> nn.Parameter:
    """Pack a weight of a module, one expert after the other; its scales become parameters of the module.

    Args:
        module: Holds the weight; keeps its layout and packing.
        name: Of the weight.
        experts: Each (rows, columns) of the layout, on the device where they shall be.
        layout: Of the whole weight.
        packing: How.

    Returns:
        The packed values, (experts, bytes of one), to be set in the weight's place.
    """
    held: dict[str, Tensor] = {}
    for index, expert in enumerate(experts):
        if not held:
            shapes = held_shapes(layout, packing.nested)
            held = {part: expert.new_zeros(shape, dtype=dtype) for part, (shape, dtype) in shapes.items()}
        for part, value in _quantised(expert, packing).items():
            place = held[part] if part == "code" else held[part][index]
            place[: value.numel()] = value.reshape(-1)
    for part in held.keys() - {""}:
        module.register_parameter(f"{name}_{part}", frozen(held[part]))
    remember(module, name, layout, packing)
    return frozen(held[""])


def frozen(tensor: Tensor) -> nn.Parameter:
    """A parameter that is not trained, and that Transformers does not initialise after loading."""
    parameter = nn.Parameter(tensor, requires_grad=False)
    parameter._is_hf_initialized = True  # type: ignore[attr-defined]  # as `set_param_for_module` marks what it loads
    return parameter


def remember(module: Any, name: str, layout: Layout, packing: Packing) -> None:
    """Note on a module that a weight of it is packed, and how."""
    vars(module).setdefault("packed_layouts", {})[name] = layout
    vars(module).setdefault("packings", {})[name] = packing


def is_packed(module: Any, name: str) -> bool:
    """Whether a weight of a module is packed."""
    return name in vars(module).get("packed_layouts", {})


def _quantised(expert: Tensor, packing: Packing) -> dict[str, Tensor]:
    values, state = quantize_4bit(
        expert.contiguous(), blocksize=NF4_BLOCK, compress_statistics=False, quant_type=packing.quant_type
    )
    scales = state.absmax
    if not packing.nested:
        return {"": values, "absmax": scales}
    offset = scales.mean()
    absmax, state = quantize_blockwise(scales - offset, blocksize=NESTED_BLOCK)
    return {"": values, "absmax": absmax, "nested": state.absmax, "offset": offset, "code": state.code}


def unpacked(module: Any, name: str, first: int, last: int) -> Tensor:
    """The experts from `first` up to before `last` in the precision of the products, (last - first, rows, columns).

    Several at once only where an expert's values are whole blocks: see `recommender.model.experts.at_once`.
    """
    layout: Layout = module.packed_layouts[name]
    packing: Packing = module.packings[name]
    count = last - first
    scales = _scales(module, name, first, last, packing.nested)[:, : blocks_of(layout)].reshape(-1)
    state = QuantState(
        absmax=scales,
        # Flat: bitsandbytes 0.50 unpacks rows that are not whole blocks wrongly on a CPU.
        shape=torch.Size((count * layout.values,)),
        dtype=packing.dtype,
        blocksize=NF4_BLOCK,
        quant_type=packing.quant_type,
    )
    flat: Tensor = dequantize_4bit(getattr(module, name)[first:last].reshape(-1, 1), state)
    return flat.view(count, layout.rows, layout.columns)


def _scales(module: Any, name: str, first: int, last: int, nested: bool) -> Tensor:
    """Scales of some experts in fp32, (last - first, blocks)."""
    absmax: Tensor = getattr(module, f"{name}_absmax")[first:last]
    if not nested:
        return absmax
    state = QuantState(
        absmax=getattr(module, f"{name}_nested")[first:last].reshape(-1),
        code=getattr(module, f"{name}_code"),
        blocksize=NESTED_BLOCK,
        dtype=torch.float32,
    )
    scales: Tensor = dequantize_blockwise(absmax.contiguous(), state)
    return scales.view(absmax.shape).add_(getattr(module, f"{name}_offset")[first:last])
