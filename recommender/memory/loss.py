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
    """One tile of logits, the fp32 gradient of the hidden states, and statistics a token."""
    model, tokens = case.model, case.tokens
    tile = min(tokens, TILE_TOKENS) * TILE_VOCABULARY
    inner = 6 * FP32 if case.on_cpu else 0
    return tile * (case.compute + inner) + tokens * model.hidden_size * (FP32 + 2 * case.compute) + tokens * 7 * FP32


def _liger(case: Case) -> int:
    """Chunks of tokens so many that one chunk of logits is no larger than the hidden states."""
    model, tokens = case.model, case.tokens
    ratio = max(1, -(-model.vocab_size // model.hidden_size))
    chunk = max(1, -(-tokens // ratio))
    return chunk * model.vocab_size * (case.compute + FP32) + tokens * model.hidden_size * case.compute
