"""Packed and adapted experts in a trace: the worker's own products, with the sizes of what they unpack.

The worker's module runs as it is; only its loops over experts do not, for on fake tensors nobody knows which expert
has which rows. What they allocate is one group of unpacked experts, whichever it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from recommender.memory.weights import NESTED_BLOCK
from recommender.model.experts import packs_experts
from trainer.trace.order import Order
from trainer.worker.setup.experts import forward, packed, products
from trainer.worker.setup.experts.modules import fused_modules, layout_of, weight_names


def pack_experts(model: Any, order: Order, dtype: torch.dtype) -> None:
    """Put the shapes of packed weights in the place of a model's fused experts, on meta, where the order says so."""
    if not packs_experts(order.finetune):
        return
    wanted = order.finetune.quantization
    packing = packed.Packing(wanted.quant_type, wanted.double_quant, dtype)
    for _, module in fused_modules(model):
        for name in weight_names(module):
            layout = layout_of(module, name)
            for part, (shape, kind) in packed.held_shapes(layout, packing.nested).items():
                held = nn.Parameter(torch.empty(shape, dtype=kind, device="meta"), requires_grad=False)
                module.register_parameter(f"{name}_{part}" if part else name, held)
            packed.remember(module, name, layout, packing)
    forward.use(model)


def is_scale(name: str) -> bool:
    """Whether a parameter belongs to how a fused weight is packed, and keeps its dtype."""
    return any(name.endswith(f"_proj_{part}") for part in packed.PARTS)


@contextmanager
def on_fake_tensors() -> Iterator[None]:
    """Run the worker's products without their loops over experts."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(forward, "expert_ends", lambda _ids, _experts: []))
        stack.enter_context(patch.object(products, "with_weights", _unpack_one_group))
        yield


def _unpack_one_group(module: Any, name: str, *_: Any) -> None:
    """Allocate and free what unpacking a group of experts does."""
    if not packed.is_packed(module, name):
        return
    layout, packing = layout_of(module, name), module.packings[name]
    count, blocks = products.at_once(layout, packing.dtype.itemsize), packed.blocks_of(layout)
    scales = None
    if packing.nested:
        padded = -(-blocks // NESTED_BLOCK) * NESTED_BLOCK
        whole = scales = torch.empty(count, padded, dtype=torch.float32)
        if padded != blocks and count > 1:
            scales = torch.empty(count * blocks, dtype=torch.float32)
        del whole
    weights = torch.empty(count * layout.values, dtype=packing.dtype)
    del scales, weights
