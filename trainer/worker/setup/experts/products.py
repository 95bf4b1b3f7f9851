"""Products of rows sorted by expert with their experts' weights, and with the low-rank factors of an adapter.

The frozen product keeps no input and unpacks again in its backward pass, as bitsandbytes' `MatMul4Bit` does; of 4-bit
experts no more than `UNPACKED_BYTES` (`recommender.model.experts`) are unpacked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recommender.model.experts import at_once
from trainer.worker.setup.experts.modules import layout_of
from trainer.worker.setup.experts.packed import is_packed, unpacked

Ends = Sequence[int]
"""For each expert the end of its rows among the sorted ones; they begin where those of the one before end."""


class Factors(NamedTuple):
    """An adapter of a fused weight, for one pass."""

    a: Tensor
    """(experts, r, in)."""
    b: Tensor
    """(experts, out, r)."""
    scaling: float


class FrozenProduct(torch.autograd.Function):
    """Rows times their experts' frozen weights: (rows, out) of (rows, in)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, module: Any, name: str, ends: Ends) -> Tensor:
        """Compute the product in the dtype of the rows."""
        ctx.module, ctx.name, ctx.ends, ctx.shape = module, name, ends, rows.shape
        layout = layout_of(module, name)
        out = rows.new_zeros(rows.shape[0], layout.out_features)

        def multiply(begin: int, end: int, weight: Tensor) -> None:
            torch.mm(rows[begin:end], weight if layout.transposed else weight.t(), out=out[begin:end])

        with_weights(module, name, ends, multiply)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, None]:
        """Give the gradient of the rows."""
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        gradient = gradients[0].contiguous()
        transposed = layout_of(ctx.module, ctx.name).transposed
        grad_rows = gradient.new_zeros(ctx.shape)

        def multiply(begin: int, end: int, weight: Tensor) -> None:
            torch.mm(gradient[begin:end], weight.t() if transposed else weight, out=grad_rows[begin:end])

        with_weights(ctx.module, ctx.name, ctx.ends, multiply)
        return grad_rows, None, None, None


class AdapterProduct(torch.autograd.Function):
    """Adds scaling · (rows Aᵀ) Bᵀ of each row's expert to a product, in place. Keeps the rows and the low-rank ones."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, rows: Tensor, a: Tensor, b: Tensor, scaling: float, ends: Ends) -> Tensor:
        """Give (rows, out) of rows (rows, in), A (experts, r, in) and B (experts, out, r), all of one dtype."""
        low = rows.new_zeros(rows.shape[0], a.shape[1])
        for expert, begin, end in ranges(ends):
            torch.mm(rows[begin:end], a[expert].t(), out=low[begin:end])
            out[begin:end].addmm_(low[begin:end], b[expert].t(), alpha=scaling)
        ctx.mark_dirty(out)
        ctx.save_for_backward(rows, low, a, b)
        ctx.scaling, ctx.ends = scaling, ends
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of the product, the rows, A and B; an expert without rows has zeros."""
        (gradient,) = gradients
        rows, low, a, b = ctx.saved_tensors
        scaled = gradient * ctx.scaling
        grad_low, grad_a, grad_b = torch.zeros_like(low), torch.zeros_like(a), torch.zeros_like(b)
        grad_rows = torch.zeros_like(rows) if ctx.needs_input_grad[1] else None
        for expert, begin, end in ranges(ctx.ends):
            torch.mm(scaled[begin:end], b[expert], out=grad_low[begin:end])
            torch.mm(scaled[begin:end].t(), low[begin:end], out=grad_b[expert])
            torch.mm(grad_low[begin:end].t(), rows[begin:end], out=grad_a[expert])
            if grad_rows is not None:
                torch.mm(grad_low[begin:end], a[expert], out=grad_rows[begin:end])
        return gradient, grad_rows, grad_a, grad_b, None, None


def product(module: Any, name: str, rows: Tensor, ends: Ends, factors: Sequence[Factors] = ()) -> Tensor:
    """Rows times their experts' weights and what adapters add, in the dtype of the rows.

    Args:
        module: Holds the experts, packed or not.
        name: Of the weight.
        rows: (rows, in), sorted by expert.
        ends: Where each expert's rows end.
        factors: Of the active adapters.
    """
    given = rows.dtype
    rows = rows.to(compute_dtype(module, name))
    out: Tensor = FrozenProduct.apply(rows, module, name, ends)  # type: ignore[no-untyped-call]
    for a, b, scaling in factors:
        # Each expert's B by itself in memory: products with strided matrices copy them one by one.
        a, b = a.to(rows.dtype), b.to(rows.dtype).contiguous()
        out = AdapterProduct.apply(out, rows, a, b, scaling, ends)  # type: ignore[no-untyped-call]
    return out.to(given)


def compute_dtype(module: Any, name: str) -> torch.dtype:
    """Dtype of the products with a weight: of its unpacked form, else its own."""
    dtype: torch.dtype = module.packings[name].dtype if is_packed(module, name) else getattr(module, name).dtype
    return dtype


def ranges(ends: Ends) -> Iterator[tuple[int, int, int]]:
    """Yield each expert that has rows, with their begin and end."""
    begin = 0
    for expert, end in enumerate(ends):
        if end > begin:
            yield expert, begin, end
        begin = end


def with_weights(module: Any, name: str, ends: Ends, use: Callable[[int, int, Tensor], None]) -> None:
    """Call `use` with the rows' begin and end and the weight of each expert that has rows; it keeps none of them.

    Experts are unpacked in groups of neighbours, of which each is forgotten before the next; a group of which less than
    half have rows, as when one token is answered, one by one.
    """
    if not is_packed(module, name):
        for expert, begin, end in ranges(ends):
            use(begin, end, getattr(module, name)[expert])
        return
    layout = layout_of(module, name)
    most = at_once(layout.values, layout.experts, compute_dtype(module, name).itemsize)
    for first in range(0, len(ends), most):
        last = min(first + most, len(ends))
        chosen = [each for each in ranges(ends) if first <= each[0] < last]
        if 2 * len(chosen) >= last - first:
            _with_unpacked(module, name, first, last, chosen, use)
        else:
            for each in chosen:
                _with_unpacked(module, name, each[0], each[0] + 1, [each], use)


def _with_unpacked(
    module: Any,
    name: str,
    first: int,
    last: int,
    chosen: Sequence[tuple[int, int, int]],
    use: Callable[[int, int, Tensor], None],
) -> None:
    """Unpack the experts from `first` up to before `last`, and use those that are chosen."""
    weights = unpacked(module, name, first, last)
    for expert, begin, end in chosen:
        use(begin, end, weights[expert - first])
