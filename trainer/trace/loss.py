"""The loss from hidden states, as each stack computes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recommender.machine.capability import AMPERE
from recommender.memory.loss import TILE_TOKENS, TILE_VOCABULARY
from trainer.trace.order import Order


def loss_of(model: Any, inputs: dict[str, Tensor], labels: Tensor, order: Order) -> tuple[Tensor, Tensor | None]:
    """The loss of a micro-batch, computed from the last hidden states as the stack does.

    Args:
        model: With or without PEFT around it.
        inputs: Of its forward pass.
        labels: (rows, length).
        order: Says which stack.

    Returns:
        The loss, and the logits where they live on.
    """
    hidden, head = last_hidden(model, inputs)
    if order.loss == "full":
        return _full(model, hidden, head, labels, order)
    if order.loss == "liger":
        return _liger(hidden, head, labels, order), None
    return _fused(hidden, head, order), None


def last_hidden(model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, nn.Module]:
    """The output of the final norm, and the head."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden: Tensor = inner.base_model(**inputs, use_cache=False).last_hidden_state
    return hidden, inner.get_output_embeddings()


def _full(model: Any, hidden: Tensor, head: nn.Module, labels: Tensor, order: Order) -> tuple[Tensor, Tensor | None]:
    """`ForCausalLMLoss` of Transformers on all logits; before 4.49 on a shifted fp32 copy of them."""
    config = model.config.get_text_config()
    logits: Tensor = head(hidden)
    if scaling := getattr(config, "logits_scaling", None):
        logits = logits / scaling
    if cap := getattr(config, "final_logit_softcapping", None):
        # One after the other, as `modeling_gemma2.py` does: only two are there at once.
        logits = logits / cap
        logits = torch.tanh(logits)
        logits = logits * cap
    beside = logits if order.shifted == "beside" or order.keeps_logits else None
    if order.shifted == "no":
        caller = logits
        logits = logits.float()
        loss = nn.functional.cross_entropy(logits.view(-1, logits.shape[-1]), labels.reshape(-1))
        del caller
    else:
        logits = logits.float()
        shifted = logits[..., :-1, :].contiguous()
        loss = nn.functional.cross_entropy(shifted.view(-1, shifted.shape[-1]), labels[..., 1:].reshape(-1))
    return loss, beside if order.keeps_logits else None


class Compact(torch.autograd.Function):
    """`hidden[:, :-1][mask]`: the positions whose next token counts, gathered."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, count: int) -> Tensor:
        """Give (count, width) of (rows, length, width)."""
        ctx.shape, ctx.index = hidden.shape, torch.empty(2, count, dtype=torch.int64)
        return hidden.new_empty(count, hidden.shape[-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Scatter into zeros of the shifted shape, then of the whole (two backward functions, two tensors)."""
        (gradient,) = gradients
        rows, length, width = ctx.shape
        shifted = gradient.new_zeros(rows, length - 1, width)
        return torch.ops.aten.slice_backward(shifted, [rows, length, width], 1, 0, length - 1, 1), None


class ChunkedLogProb(torch.autograd.Function):
    """The CUDA branch of TRL 1.16's `ChunkedLogProbFunction`: one buffer for a tile of logits, worked on in place.

    One tile stands for all, because every tile uses the same buffers.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor) -> Tensor:
        """Give the log-probability of each target: (tokens,)."""
        compute = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else hidden.dtype
        tokens = hidden.shape[0]
        statistics = [torch.zeros(tokens, dtype=torch.float32) for _ in range(7)]
        ctx.compute = compute
        tile = torch.empty(min(tokens, TILE_TOKENS), TILE_VOCABULARY, dtype=compute)
        chunk = hidden[:TILE_TOKENS].to(compute)
        part = weight[:TILE_VOCABULARY].to(compute)
        torch.mm(chunk, part.t(), out=tile[:, : part.shape[0]])
        del part
        log_z = statistics[0] + torch.log(statistics[1])
        log_probs = statistics[6] - log_z
        ctx.save_for_backward(hidden, weight, torch.empty(tokens, dtype=torch.int64), log_z)
        return log_probs

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Give the gradients of hidden states and head, summed in fp32 and cast at the end."""
        hidden, weight, *_ = ctx.saved_tensors
        needs_hidden, needs_weight = ctx.needs_input_grad
        grad_hidden = torch.zeros(hidden.shape, dtype=torch.float32) if needs_hidden else None
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32) if needs_weight else None
        tile = torch.empty(min(hidden.shape[0], TILE_TOKENS), TILE_VOCABULARY, dtype=ctx.compute)
        chunk = hidden[:TILE_TOKENS].to(ctx.compute)
        part = weight[:TILE_VOCABULARY].to(ctx.compute)
        torch.mm(chunk, part.t(), out=tile[:, : part.shape[0]])
        del part, chunk
        return (
            grad_hidden.to(hidden.dtype) if grad_hidden is not None else None,
            grad_weight.to(weight.dtype) if grad_weight is not None else None,
        )


def _fused(hidden: Tensor, head: nn.Module, order: Order) -> Tensor:
    compact: Tensor = Compact.apply(hidden, order.trained_tokens)  # type: ignore[no-untyped-call]
    log_probs: Tensor = ChunkedLogProb.apply(compact, head.weight)  # type: ignore[no-untyped-call]
    del compact
    scattered = log_probs.new_zeros(hidden.shape[0], hidden.shape[1] - 1)
    return -(scattered.sum() + log_probs.sum()) / order.trained_tokens


class LigerLoss(torch.autograd.Function):
    """Liger's fused linear cross entropy: the hidden states' gradient is made in the forward pass, chunk by chunk.

    A chunk has so few tokens that its logits are no larger than the hidden states (Liger 0.8,
    `fused_linear_cross_entropy.py`). Gradients have their tensors' dtypes; each product casts the whole head under
    autocast. On Turing and older a trained head's gradient of a chunk is made beside the sum, in fp32 too.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, adds_in_place: bool) -> Tensor:
        """Give the mean loss of (tokens, width)."""
        tokens, width = hidden.shape
        chunks = max(1, -(-weight.shape[0] // width))
        size = min(tokens, 1 << (max(1, -(-tokens // chunks)) - 1).bit_length())
        gradient = torch.zeros_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        losses = torch.zeros(tokens, dtype=torch.float32)
        logits = hidden[:size] @ weight.t()
        product = logits @ weight
        del product
        if grad_weight is not None and not adds_in_place:
            whole = torch.mm(logits.t(), hidden[:size].to(logits.dtype)).float()
            del whole
        del logits
        ctx.save_for_backward(gradient, grad_weight)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients made in the forward pass."""
        gradient, grad_weight = ctx.saved_tensors
        return gradient, grad_weight, None


def _liger(hidden: Tensor, head: nn.Module, labels: Tensor, order: Order) -> Tensor:
    shifted = labels[..., 1:].contiguous()
    flat = hidden.reshape(-1, hidden.shape[-1])
    in_place = order.capability >= AMPERE
    out: Tensor = LigerLoss.apply(flat, head.weight, in_place)  # type: ignore[no-untyped-call]
    del shifted
    return out
