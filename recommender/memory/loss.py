"""The peak memory of the loss, by path."""

from __future__ import annotations

from recommender.machine.capability import AMPERE, known
from recommender.memory.workload import FP32, HALF, Workload

TILE_TOKENS, TILE_VOCABULARY = 4096, 32768
"""TRL 1.16's tiles (`TOKEN_CHUNK_SIZE`, `_CHUNKED_LOGPROB_CHUNK_SIZE`)."""
PAGE = 4096
"""Bytes that the kernel gives a process at a time."""


Named = tuple[tuple[str, int], ...]
"""Terms by name, bytes."""


def loss_bytes(workload: Workload) -> int:
    """Bytes that the loss holds beside the weights and the checkpoints, at its peak."""
    return sum([nbytes for _, nbytes in loss_terms(workload)])


def loss_terms(workload: Workload) -> Named:
    """The same, by name."""
    if workload.stack.loss == "fused":
        return _fused(workload)
    if workload.stack.loss == "liger":
        return _liger(workload)
    return _full(workload)


def evaluation_bytes(workload: Workload, training: int) -> int:
    """Bytes of the loss in an evaluation, where no gradient is made.

    All logits: the logits, their fp32 copy where they are in half, log_softmax's output. The other paths are taken
    as in training, which they do not exceed.

    Args:
        workload: What is priced.
        training: `loss_bytes` of it.
    """
    if workload.stack.loss != "full":
        return training
    logits = FP32 + (_given(workload) + FP32 if _given(workload) != FP32 else FP32)
    return min(training, workload.tokens * workload.model.vocab_size * logits)


def kept_bytes(workload: Workload) -> int:
    """Bytes of the loss that are still alive in the layers' backward pass."""
    if workload.stack.loss == "full" and workload.stack.autocast and not workload.autocast and workload.compute == HALF:
        return workload.tokens * workload.model.vocab_size * workload.plain
    return 0


def head_gradient_bytes(workload: Workload) -> int:
    """The gradient of a trained head, which comes first and stays for the whole backward pass."""
    return workload.adapter * _head(workload) if _trains_head(workload) else 0


def last_gradient_bytes(workload: Workload) -> int:
    """The gradient of a trained embedding, which comes last; a tied one has the head's already."""
    trained = workload.config.method == "full" or "embed_tokens" in workload.config.lora.modules_to_save
    return workload.adapter * workload.model.embedding_parameters if trained and not workload.model.tied else 0


def _head(workload: Workload) -> int:
    return workload.model.vocab_size * workload.model.hidden_size


def _trains_head(workload: Workload) -> bool:
    return workload.config.method == "full" or "lm_head" in (workload.config.lora.modules_to_save or ())


def _head_cast(workload: Workload) -> int:
    """The head in half, for products under autocast, where its weights are fp32."""
    return workload.compute * _head(workload) if workload.autocast and workload.plain > workload.compute else 0


def _capped_bytes(workload: Workload) -> int:
    """The output of the soft cap's tanh (Gemma 2), in the logits' dtype, which its backward pass needs.

    Dividing and multiplying keep nothing, nor does an evaluation. TRL and Liger cap a tile in place.
    """
    capped = workload.model.final_logit_softcapping is not None
    return workload.tokens * workload.model.vocab_size * _given(workload) if capped else 0


def _given(workload: Workload) -> int:
    """Bytes of a logit in the dtype that the head returns."""
    return workload.compute if workload.autocast else workload.plain


def _full(workload: Workload) -> Named:
    """Bytes with all logits at once.

    Backward: log_softmax's output, the gradient in it and its own, all fp32, and the logits where they are kept.
    Forward, in older Transformers: logits, their fp32 copy, its shifted copy, log_softmax. Beside them the final
    norm keeps its input in fp32, and the head's fp32 weight a copy in half under autocast. A trained head's gradient
    is made when only the logits' gradient is left, in the compute dtype, then cast to its own.
    """
    model, tokens = workload.model, workload.tokens
    logits = 3 * FP32 + (workload.compute if workload.stack.shifted_copy else 0)
    name, worst = "log-softmax and two gradients, fp32", tokens * logits * model.vocab_size
    if _trains_head(workload):
        cast = workload.adapter if workload.adapter != workload.compute else 0
        later = tokens * workload.compute * model.vocab_size + (workload.compute + cast) * _head(workload)
        if later > worst:
            name, worst = "gradients of the logits and of the head", later
    return (
        (name, worst),
        ("final norm's input, fp32", tokens * FP32 * model.hidden_size),
        ("logits that live on", kept_bytes(workload)),
        ("soft cap's tanh", _capped_bytes(workload)),
        ("the head in half", _head_cast(workload)),
    )


def _fused(workload: Workload) -> Named:
    """TRL's tiles, in the backward pass, with every token trained.

    One tile of logits; the trained hidden states gathered, their fp32 gradient, and the final norm's fp32 input;
    seven fp32 statistics a token. Triton works in the tile itself; without it (CPU) temporaries of a tile come beside
    it. A trained head's gradient is summed in fp32, then cast.
    """
    model, tokens = workload.model, workload.tokens
    rows = min(tokens, TILE_TOKENS)
    cast = 0
    if workload.plain > workload.compute and workload.autocast:
        cast = min(model.vocab_size, TILE_VOCABULARY) * model.hidden_size * workload.compute
    gradient = FP32 + (workload.adapter if workload.adapter != FP32 else 0)
    return (
        ("a tile of logits", rows * _tile_row_bytes(workload)),
        ("fp32 temporaries of a tile", _temporaries(workload, rows) if workload.on_cpu else 0),
        ("a tile of the head in half", cast),
        ("gradient of the head, summed in fp32", _head(workload) * gradient if _trains_head(workload) else 0),
        (
            "trained hidden states, their gradient, final norm's input",
            tokens * model.hidden_size * (2 * FP32 + workload.plain),
        ),
        ("statistics a token", tokens * 7 * FP32),
    )


def _tile_row_bytes(workload: Workload) -> int:
    """Bytes that a row of the tile takes; on a CPU only pages that are touched, and a small vocabulary touches few."""
    if not workload.on_cpu:
        return TILE_VOCABULARY * workload.compute
    touched = -(-workload.model.vocab_size * workload.compute // PAGE) * PAGE
    return min(TILE_VOCABULARY * workload.compute, touched)


def _temporaries(workload: Workload, rows: int) -> int:
    """Bytes beside a tile at the worst of TRL's backward pass without Triton (`_backward_tile`, TRL 1.16).

    Seven in fp32 and a mask of one byte, while probabilities are taken from targets: y, z, log p, p, the gradient, the
    targets and their difference; with a soft cap its tanh too. In half, the tile's product with the head in fp32 is
    another moment: both operands are cast.
    """
    width = min(workload.model.vocab_size, TILE_VOCABULARY)
    capped = FP32 if workload.model.final_logit_softcapping is not None else 0
    worst = rows * width * (7 * FP32 + 1 + capped)
    product = FP32 * width * (rows + workload.model.hidden_size) if workload.compute != FP32 else 0
    return max(worst, product)


def _liger(workload: Workload) -> Named:
    """Chunks of tokens so few that one chunk of logits is no larger than the hidden states, worked on in place.

    `fused_linear_cross_entropy.py` of Liger 0.8: the number of chunks is vocabulary over width, a chunk's tokens
    rounded up to a power of two. The hidden states, their gradient, and the final norm's fp32 input; each product
    casts the head under autocast. A trained head's gradient is made here; before Ampere a chunk's part of it beside.
    """
    model, tokens = workload.model, workload.tokens
    chunks = max(1, -(-model.vocab_size // model.hidden_size))
    chunk = min(tokens, 1 << max(0, (-(-tokens // chunks) - 1).bit_length()))
    logits = chunk * (model.vocab_size + model.hidden_size) * workload.compute
    normed = FP32 * (2 if workload.plain == FP32 else 1) + workload.plain * (1 if workload.plain == FP32 else 2)
    head = _head(workload) * workload.adapter if _trains_head(workload) else 0
    if head and known(workload.device.compute_capability) < AMPERE:
        head += _head(workload) * (workload.compute + FP32)
    return (
        ("a chunk of logits and its product", logits),
        ("hidden states, their gradient, final norm's input", tokens * model.hidden_size * normed),
        ("gradient of the head", head),
        ("the head in half", _head_cast(workload)),
    )
