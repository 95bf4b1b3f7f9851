"""Stand-ins for bitsandbytes' layers: bytes held, saved and allocated, without their kernels.

PEFT tells the layers apart by class, so the stand-ins are subclasses that are built without the parents' constructors.
"""

from __future__ import annotations

import math
from typing import Any

import bitsandbytes as bnb
import torch
from torch import Tensor, nn

from recommender.memory.weights import NESTED_BLOCK, NF4_BLOCK


class MatMul4Bit(torch.autograd.Function):
    """`bitsandbytes.autograd._functions.MatMul4Bit` for many tokens: unpack the weight, multiply, forget it.

    Saves the packed weight and no input. The unpacked weight is made again in the backward pass. Under double
    quantisation its scales are unpacked beside it, in fp32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, _packed: Tensor, bias: Tensor | None, layer: Linear4bit) -> Tensor:
        """Give (…, out) for (…, in)."""
        ctx.layer = layer
        weight = layer.unpacked(x.dtype)
        return nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradient of the input."""
        (gradient,) = gradients
        grad_bias = gradient.sum(0) if ctx.needs_input_grad[2] else None
        weight = ctx.layer.unpacked(ctx.layer.compute_dtype).to(gradient.dtype)
        grad_input = torch.matmul(gradient, weight) if ctx.needs_input_grad[0] else None
        return grad_input, None, grad_bias, None


class Linear4bit(bnb.nn.Linear4bit):  # type: ignore[misc]
    """A 4-bit layer on which PEFT works as on bitsandbytes' own."""

    def __init__(self, layer: nn.Linear, compute_dtype: torch.dtype, *, nested: bool, quant_type: str) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.compute_dtype, self.nested = compute_dtype, nested
        values = self.in_features * self.out_features
        weight: Any = _held((values + 1) // 2, torch.uint8)
        weight.compress_statistics, weight.quant_type, weight.quant_state = nested, quant_type, None
        self.weight = weight
        blocks = math.ceil(values / NF4_BLOCK)
        if nested:
            self.scales = _held(blocks, torch.uint8)
            self.scale_scales = _held(math.ceil(blocks / NESTED_BLOCK), torch.float32)
            self.nested_code, self.offset = _held(256, torch.float32), _held(1, torch.float32)
        else:
            self.scales = _held(blocks, torch.float32)
        self.code = _held(16, torch.float32)
        self.bias = layer.bias

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """Return the weight as the product takes it; it is freed with its last use."""
        scales = torch.empty(self.scales.numel(), dtype=torch.float32) if self.nested else None
        weight = torch.empty(self.out_features, self.in_features, dtype=dtype)
        del scales
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """Run as bitsandbytes' own: cast to the compute dtype, multiply, cast back."""
        given = x.dtype
        x = x.to(self.compute_dtype)
        bias = None if self.bias is None else self.bias.to(self.compute_dtype)
        out: Tensor = MatMul4Bit.apply(x, self.weight, bias, self)  # type: ignore[no-untyped-call]
        return out.to(given)


class MatMul8bitLt(torch.autograd.Function):
    """`MatMul8bitLt` with outliers kept in half (threshold 6): keeps its input, in its dtype, in the context itself.

    What a context holds as attributes, gradient checkpointing cannot leave out, and it lives as long as the graph.
    The CUDA kernels' wrappers (`backends/cuda/ops.py`) hold the input in fp16, its absolute values and what exceeds
    the threshold at once; and the int32 product until it has been cast to the input's dtype.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, _weight: Tensor, _bias: Tensor | None, layer: Linear8bitLt) -> Tensor:
        """Give (…, out) for (…, in)."""
        flat = x.reshape(-1, x.shape[-1])
        half = flat.to(torch.float16)
        row_scales = torch.empty(half.shape[0], dtype=torch.float32)
        quantised = torch.empty(half.shape, dtype=torch.int8)
        outliers = half.abs() >= layer.state.threshold
        del half, outliers
        whole = torch.empty(flat.shape[0], layer.out_features, dtype=torch.int32)
        out = torch.empty(flat.shape[0], layer.out_features, dtype=torch.float16).to(x.dtype)
        del whole
        ctx.saved = (flat, row_scales)
        ctx.layer, ctx.shape, ctx.dtype = layer, x.shape, x.dtype
        del quantised
        return out.reshape(*x.shape[:-1], layer.out_features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradient of the input, by a weight unpacked for it."""
        (gradient,) = gradients
        flat = gradient.reshape(-1, gradient.shape[-1]).contiguous()
        weight = torch.empty(ctx.layer.weight.shape, dtype=ctx.dtype)
        grad_input = torch.matmul(flat.to(ctx.dtype), weight).view(ctx.shape)
        return grad_input, None, None, None


class Linear8bitLt(bnb.nn.Linear8bitLt):  # type: ignore[misc]
    """An 8-bit layer on which PEFT works as on bitsandbytes' own."""

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight = nn.Parameter(
            torch.empty(self.out_features, self.in_features, dtype=torch.int8), requires_grad=False
        )
        self.row_scales = _held(self.out_features, torch.float32)
        self.state = bnb.MatmulLtState()
        self.state.threshold, self.state.has_fp16_weights = 6.0, False
        self.index = None
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Run as bitsandbytes' own."""
        out: Tensor = MatMul8bitLt.apply(x, self.weight, self.bias, self)  # type: ignore[no-untyped-call]
        return out


def _held(count: int, dtype: torch.dtype) -> nn.Parameter:
    """Return a tensor for a layer to hold, a parameter so that it is swapped with the others under its own name."""
    return nn.Parameter(torch.empty(count, dtype=dtype), requires_grad=False)
