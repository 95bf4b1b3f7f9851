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
from torch import Tensor, nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from recommender.memory.weights import NESTED_BLOCK, NF4_BLOCK
from recommender.model.experts import at_once, packs_experts
from trainer.trace.order import Order
from trainer.trace.quantised import MatMul4Bit
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
    if not order.fused_experts:
        ALL_EXPERTS_FUNCTIONS.register(forward.NAME, one_by_one)


def one_by_one(module: Any, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """A layer's experts as three 4-bit linear layers each, as Transformers 4 ran them; all get as many rows.

    Args:
        module: Holds the experts, packed; what is held of them is the same.
        hidden: (tokens, hidden).
        chosen: (tokens, experts a token).
        weights: The same shape.
    """
    final = torch.zeros_like(hidden)
    width = layout_of(module, "down_proj").in_features
    gate, up, down = (
        _Projection(module, out, given)
        for out, given in ((width, hidden.shape[1]), (width, hidden.shape[1]), (hidden.shape[1], width))
    )
    share = max(1, chosen.numel() // module.num_experts)
    weights = weights.to(hidden.dtype)
    for _ in range(module.num_experts):
        tokens = torch.empty(share, dtype=torch.int64)
        state = hidden[tokens]
        chances = weights[tokens, torch.empty(share, dtype=torch.int64)].unsqueeze(-1)
        out = down(module.act_fn(gate(state)) * up(state)) * chances
        final.index_add_(0, tokens, out.to(hidden.dtype))
    return final


class _Projection:
    """One expert's linear layer in 4 bits, as `MatMul4Bit` asks for it."""

    def __init__(self, module: Any, out_features: int, in_features: int) -> None:
        packing = module.packings["down_proj"]
        self.out_features, self.in_features = out_features, in_features
        self.compute_dtype, self.nested = packing.dtype, packing.nested
        self.weight = module.down_proj

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply in the compute dtype, and cast back."""
        given = x.to(self.compute_dtype)
        out: Tensor = MatMul4Bit.apply(given, self.weight, None, self)  # type: ignore[no-untyped-call]
        return out.to(x.dtype)

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """Return the weight as the product takes it."""
        blocks = self.out_features * self.in_features // NF4_BLOCK
        scales = torch.empty(blocks, dtype=torch.float32) if self.nested else None
        weight = torch.empty(self.out_features, self.in_features, dtype=dtype)
        del scales
        return weight


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
    count, blocks = at_once(layout.values, layout.experts, packing.dtype.itemsize), packed.blocks_of(layout)
    scales = None
    if packing.nested:
        padded = -(-blocks // NESTED_BLOCK) * NESTED_BLOCK
        whole = scales = torch.empty(count, padded, dtype=torch.float32)
        if padded != blocks and count > 1:
            scales = torch.empty(count * blocks, dtype=torch.float32)
        del whole
    weights = torch.empty(count * layout.values, dtype=packing.dtype)
    del scales, weights
