"""Stand-ins for operations that run as one kernel on a GPU: tensors saved, returned and allocated meanwhile.

They compute nothing: every result is an empty tensor of the right shape and dtype. What dispatch cannot see of them
is listed in `HIDDEN` and in `cublas_workspace`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recommender.machine.capability import AMPERE

FLASH_STEP = 128
"""FlashAttention-2 rounds a row's length up to it in its work buffers (`flash_api.cpp`, seqlen_q_rounded)."""


def _softmax_backward(args: tuple[Any, ...], _out: Tensor) -> int:
    """Bytes of gradient times output, computed before the kernel runs (`softmax_backward_cuda_out`, SoftMax.cu)."""
    return int(args[0].numel() * args[0].element_size())


HIDDEN: dict[Any, Callable[[tuple[Any, ...], Any], int]] = {
    torch.ops.aten._softmax_backward_data.default: _softmax_backward,
}
"""Temporary bytes of a kernel beside its outputs, by operation."""


class Attention(torch.autograd.Function):
    """Fused attention: FlashAttention-2, or PyTorch's memory-efficient kernel.

    Saves queries, keys, values, output, the log of the sums (fp32, a query and head) and a mask where there is one.
    Backward: gradients of all three; an fp32 sum of the queries' gradient (`dq_accum` of flash, the workspace of the
    efficient kernel in half precision); fp32 row sums; and, where flash has fewer heads for keys than for queries,
    gradients of keys and values for every query head, which are then added up.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, flash: bool) -> Tensor:
        """Compute the attention.

        Args:
            ctx: Autograd's.
            query: (rows, heads, length, width), as key and value, which may have fewer heads.
            key: See query.
            value: See query.
            mask: Broadcast to (rows, heads, length, length).
            flash: Which of the two kernels.
        """
        rows, heads, length, _ = query.shape
        out = query.new_empty(rows, length, heads, value.shape[-1]).transpose(1, 2)
        sums = query.new_empty(rows, heads, length, dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums, mask)
        ctx.flash = flash
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of queries, keys and values."""
        query, key, value, _, _, _ = ctx.saved_tensors
        (gradient,) = gradients
        if gradient.stride(-1) != 1:
            gradient = gradient.contiguous()
        rows, heads, length, width = query.shape
        shape = (rows, length, heads, width)
        grad_query = query.new_empty(shape).transpose(1, 2)
        grad_key, grad_value = (
            each.new_empty(rows, each.shape[2], each.shape[1], each.shape[3]).transpose(1, 2) for each in (key, value)
        )
        work = []
        rounded = -(-length // FLASH_STEP) * FLASH_STEP
        if ctx.flash:
            work.append(query.new_empty(rows, heads, rounded, dtype=torch.float32))
            work.append(query.new_empty(rows, rounded, heads, width, dtype=torch.float32))
            if key.shape[1] != heads:
                work += [query.new_empty(rows, key.shape[2], heads, width) for _ in range(2)]
        else:
            work.append(query.new_empty(rows, heads, length, dtype=torch.float32))
            if query.dtype != torch.float32:
                work.append(query.new_empty(rows, heads, length, width, dtype=torch.float32))
        del work
        return grad_query, grad_key, grad_value, None, None


def scaled_dot_product_attention(capability: tuple[int, int], on_cpu: bool) -> Callable[..., Tensor]:
    """PyTorch's function of that name as CUDA dispatches it on a card.

    Flash from Ampere on in half precision without a mask, else the memory-efficient kernel, which knows no grouped
    queries: keys and values are repeated for it.
    """

    def attend(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        query, key, value = (in_autocast(each) for each in (query, key, value))
        half = query.dtype != torch.float32
        flash = on_cpu or (attn_mask is None and half and capability >= AMPERE and query.shape[-1] <= 256)
        if key.shape[1] != query.shape[1] and not flash:
            groups = query.shape[1] // key.shape[1]
            key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            # The kernel takes a bias in the queries' dtype, which PyTorch makes of a boolean mask.
            attn_mask = torch.empty(attn_mask.shape, dtype=query.dtype)
        return _apply(query, key, value, attn_mask, flash)

    return attend


def softmax(x: Tensor, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Tensor:
    """PyTorch's function of that name as CUDA runs it: fp16 into fp32 in one kernel, and back, without a copy.

    Only fp16: bf16 is converted first (`at::softmax`, SoftMax.cpp).
    """
    if x.dtype == torch.float16 and dtype == torch.float32:
        return torch._softmax(x, dim, True)
    return torch.softmax(x, dim, dtype=dtype)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, *_: Any) -> Tensor:
    """Dropout as CUDA does it: one kernel that saves a mask of one byte a value (a CPU saves its noise in full)."""
    if not training or not 0.0 < p < 1.0:
        return x
    return torch.native_dropout(x, p, True)[0]


def flash_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, _mask: Tensor | None, **_: Any
) -> tuple[Tensor, None]:
    """A stand-in for Transformers' `flash_attention_forward`, on tensors of (rows, length, heads, width)."""
    target = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else module.config.dtype
    if query.dtype == torch.float32:
        query, key, value = (each.to(target) for each in (query, key, value))
    return _apply(query, key, value, None, True).transpose(1, 2), None


def in_autocast(tensor: Tensor) -> Tensor:
    """Return the tensor in autocast's dtype while autocast is on."""
    return tensor.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else tensor


class GroupedProduct(torch.autograd.Function):
    """`torch.nn.functional.grouped_mm` in any dtype: its own fake only knows bfloat16.

    Saves the weight, and its input where the weight is trained.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> Tensor:
        """Give (rows, out) of (rows, in) and (experts, in, out)."""
        ctx.shape = rows.shape
        ctx.save_for_backward(rows if ctx.needs_input_grad[1] else None, weight)
        return rows.new_empty(rows.shape[0], weight.shape[-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Give the gradients of the rows and of a trained weight."""
        (gradient,) = gradients
        rows, weight = ctx.saved_tensors
        grad_rows = gradient.new_empty(ctx.shape) if ctx.needs_input_grad[0] else None
        return grad_rows, None if rows is None else torch.empty_like(weight)


def grouped_mm(rows: Tensor, weight: Tensor, *, offs: Tensor) -> Tensor:
    """PyTorch's function of that name; `offs`, the rows of each expert, change no size."""
    del offs
    out: Tensor = GroupedProduct.apply(rows, weight)  # type: ignore[no-untyped-call]
    return out


def _apply(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, flash: bool) -> Tensor:
    out: Tensor = Attention.apply(query, key, value, mask, flash)  # type: ignore[no-untyped-call]
    return out
