"""Host memory of a process on a CPU beside PyTorch's blocks: libraries, tokenizer, holes in the C library's heap.

glibc's malloc gives a block of 32 MiB or more a mapping of its own, which goes when the block does
(`DEFAULT_MMAP_THRESHOLD_MAX`); smaller ones lie in a heap, of which only a free end of more than 64 MiB is given back
(the trim threshold, twice that). PyTorch asks for blocks at multiples of 64 bytes, and for those glibc before 2.38
looks for a hole that is 96 bytes larger, so the hole that such a block left does not serve the next of its size.
Gradients of adapters, which stay, lie between them. So layers cannot use what the layers before them gave back,
checkpointed or not.

With mappings for all blocks of 128 KiB or more (`MALLOC_MMAP_THRESHOLD_=131072`) the process takes within about 1 %
what PyTorch has handed out, and a step takes a quarter to two fifths more processor time: docs/memory.md.
"""

from __future__ import annotations

from recommender.memory.fitted import HOLES, LOSS_HOLES, MIB
from recommender.memory.loss import TILE_TOKENS, TILE_VOCABULARY
from recommender.memory.workload import FP32, Workload

LIBRARIES = 8 * MIB
"""Code and classes that are loaded after the process is first measured, buffers that MKL keeps, a second thread:
of a model of 100,000 parameters, whose tensors are as small."""
HALF_KERNELS = 20 * MIB
"""oneDNN, which computes in bf16, with the kernels that it compiles: the same model in bf16."""
TOKENIZER = 190
"""Bytes a token of the vocabulary: Transformers' tokenizer (9 MiB of 49,152 tokens)."""
READ_AGAIN = 800
"""Bytes a token of the vocabulary that reading the rows took and gave back to the heap before the model came: 40 MiB of
49,152 tokens, 0.4 of 512."""
MAPPED = 32 * MIB
"""From this size on a block has a mapping of its own."""
TRIMMED = 64 * MIB
"""Bytes that the heap keeps at its free end in any case."""

MOST = 1200 * MIB
"""Most bytes given back by layers of which a share is held: no more was measured, and blocks of larger models have
mappings of their own."""


def beside_blocks(workload: Workload, layers: int, loss: int) -> int:
    """Bytes beside what PyTorch has handed out at the worst moment.

    Args:
        workload: What is priced.
        layers: What all layers together keep for the backward pass without checkpointing: it is taken and given back.
        loss: What the loss takes and gives back.
    """
    vocabulary = workload.model.vocab_size
    fixed = LIBRARIES + TOKENIZER * vocabulary + (HALF_KERNELS if workload.compute != FP32 else 0)
    given_back = min(MOST, max(0, layers + _unpacked(workload) - READ_AGAIN * vocabulary))
    held = min(given_back, TRIMMED) + HOLES * max(0, given_back - TRIMMED)
    return fixed + round(held + LOSS_HOLES * _in_heap(workload, loss))


def _unpacked(workload: Workload) -> int:
    """Weights of 4 bits, each layer unpacked for its product and given back."""
    if workload.bits != 4:
        return 0
    return workload.compute * sum([x.count * x.in_features * x.out_features for x in workload.model.linears])


def _in_heap(workload: Workload, loss: int) -> float:
    """Of the loss's blocks, those that are too small for mappings of their own.

    All where its largest are; above, those of the vocabulary's last and narrower tile, which a share stands for that
    ends where the largest are twice that size, so that a longer batch never seems to need less.
    """
    block = FP32 * min(workload.tokens, TILE_TOKENS) * min(workload.model.vocab_size, TILE_VOCABULARY)
    share = min(1.0, max(0.0, 2 - block / MAPPED))
    return loss * min(1.0, MAPPED / max(1, block)) * share
