"""What the loss holds at its worst moment, by path."""

from __future__ import annotations

from recommender.memory.case import FP32, HALF, Case

TILE_TOKENS, TILE_VOCABULARY = 4096, 32768
"""TRL 1.16's tiles (`TOKEN_CHUNK_SIZE`, `_CHUNKED_LOGPROB_CHUNK_SIZE`)."""


def loss_bytes(case: Case) -> int:
    """Bytes that the loss holds beside the weights and the checkpoints, at its peak."""
    if case.stack.loss == "fused":
        return _fused(case)
    if case.stack.loss == "liger":
        return _liger(case)
    return _full(case)


def evaluation_bytes(case: Case) -> int:
    """Bytes of the loss in an evaluation, where no gradient is made.

    All logits: the logits, their fp32 copy where they are in half, log_softmax's output. The other paths are taken
    as in training, which they do not exceed.
    """
    if case.stack.loss != "full":
        return loss_bytes(case)
    logits = FP32 + (case.compute + FP32 if case.compute != FP32 else FP32)
    return min(loss_bytes(case), case.tokens * case.model.vocab_size * logits)


def kept_bytes(case: Case) -> int:
    """What of the loss is still alive in the layers' backward pass."""
    if case.stack.loss == "full" and not case.autocast and case.compute == HALF:
        return case.tokens * case.model.vocab_size * case.plain
    return 0


def _full(case: Case) -> int:
    """All logits.

    Backward: log_softmax's output, the gradient in it and its own, all fp32, and the logits where they are kept.
    Forward, in older Transformers: logits, their fp32 copy, its shifted copy, log_softmax. Beside them the final
    norm keeps its input in fp32, and the head's fp32 weight a copy in half under autocast.
    """
    model, tokens = case.model, case.tokens
    logits = 3 * FP32 + (case.compute if case.stack.shifted_copy else 0)
    head = case.compute * model.vocab_size * model.hidden_size if case.autocast and case.plain > case.compute else 0
    return tokens * (logits * model.vocab_size + FP32 * model.hidden_size) + kept_bytes(case) + head


def _fused(case: Case) -> int:
    """TRL's tiles, in the backward pass, with every token trained.

    One tile of logits; the trained hidden states gathered, their fp32 gradient, and the final norm's fp32 input;
    seven fp32 statistics a token. Triton works in the tile itself; without it (CPU) eight fp32 temporaries of a
    tile are alive at once (`_backward_tile`: y, z, log p, p, gradient, target, difference, product).
    """
    model, tokens = case.model, case.tokens
    rows = min(tokens, TILE_TOKENS)
    tile = rows * TILE_VOCABULARY * case.compute
    if case.on_cpu:
        width = min(model.vocab_size, TILE_VOCABULARY)
        tile += rows * width * (8 * FP32 + 1)
        if case.compute != FP32:
            tile += FP32 * width * (rows + model.hidden_size)
    return tile + tokens * model.hidden_size * (2 * FP32 + case.plain) + tokens * 7 * FP32


def _liger(case: Case) -> int:
    """Chunks of tokens so few that one chunk of logits is no larger than the hidden states, worked on in place.

    `fused_linear_cross_entropy.py` of Liger: the number of chunks is vocabulary over width, a chunk's tokens rounded
    up to a power of two. The gradient of all hidden states is made in the forward pass.
    """
    model, tokens = case.model, case.tokens
    chunks = max(1, -(-model.vocab_size // model.hidden_size))
    chunk = 1 << max(0, (-(-tokens // chunks) - 1).bit_length())
    logits = min(chunk, tokens) * model.vocab_size * case.compute
    return logits + tokens * model.hidden_size * (FP32 + 2 * case.compute)
