"""Process memory as nvidia-smi shows it: allocated bytes, workspaces, the allocator's rest, the CUDA context."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.machine.capability import AMPERE, cublas_workspace_bytes, known
from recommender.memory.allocator import SEGMENT_STEP
from recommender.memory.fitted import (
    CONTEXT_MIB,
    ENDS,
    EXPANDABLE,
    LEFT,
    LEFT_AT_MOST,
    MIB,
    RESIDUE,
    SPREAD,
    ResidueKind,
    Spread,
)
from recommender.memory.heap import beside_blocks
from recommender.memory.learned.store import stands_in
from recommender.memory.lengths import outgrown
from recommender.memory.workload import FP32, Workload


@dataclass(frozen=True, slots=True)
class Pools:
    """Bytes that come and go in a step, beside what stays throughout."""

    loss: int
    layer: int
    unserved: int = 0
    """Of the loss, blocks that an optimizer's step which is the worst moment cannot use: logits of more bytes than its
    largest tensor have memory of their own once optimizer states lie in what the first step's left."""
    layers: int = 0
    """Bytes that all layers keep for the backward pass, or would without checkpointing."""


@dataclass(frozen=True, slots=True)
class Left:
    """Bytes of blocks that micro-batches left which were the longest so far, and too short for the longest of all."""

    middle: int = 0
    less: int = 0
    """From there to the 5th percentile over orders of the rows."""
    more: int = 0
    """To the 95th."""


NOTHING_LEFT = Left()


def workspace_bytes(workload: Workload) -> int:
    """Bytes of cuBLAS's workspaces: one for the forward pass's thread and one for autograd's."""
    if workload.on_cpu:
        return 0
    return 2 * cublas_workspace_bytes(workload.device.compute_capability)


def reserved_beyond(workload: Workload, moving: int, pools: Pools) -> int:
    """Bytes that the allocator reserves beyond those that it has handed out.

    With expandable segments pages that are free between live blocks: a share of what comes and goes in a step, more
    of score matrices than of smaller blocks. Without them, cached blocks that the other phase of the step, or a batch
    of another length, cannot use: a fitted share of a pool. On a CPU: `recommender.memory.heap`.

    Args:
        workload: What is priced.
        moving: Bytes of activations and loss at the worst moment.
        pools: What the loss and a layer take and give back.
    """
    if workload.on_cpu:
        return beside_blocks(workload, pools.layers, pools.loss) if workload.stack.name == "trl" else 0
    if workload.stack.expandable_segments:
        eager = workload.config.training.attn_implementation == "eager"
        return round(EXPANDABLE["scores" if eager else "plain"] * moving)
    return cached_beyond(workload, pools)


def cached_beyond(workload: Workload, pools: Pools) -> int:
    """Bytes that segments of fixed size would keep cached: tells what expandable segments save."""
    alike, varied = residue(pools)
    one = max(RESIDUE[residue_kind(workload)] * alike, pools.unserved)
    return round(workload.alike * one + (1 - workload.alike) * max(RESIDUE["varied"] * varied, pools.unserved))


def left_bytes(workload: Workload, pools: Pools, free: int) -> Left:
    """Bytes that growing micro-batches of a mixed run leave in fixed-size segments, at most the card's free memory.

    A block of logits holds every later one that is no larger; one that is larger takes memory of its own: see
    `recommender.memory.lengths`. Where the card is full PyTorch gives the blocks back and begins again, so that no more
    than the room is taken.

    Args:
        workload: What is priced.
        pools: What the loss takes and gives back.
        free: Bytes that are free beside everything else.
    """
    if workload.data is None or workload.on_cpu or workload.stack.expandable_segments or free <= 0:
        return NOTHING_LEFT
    training = workload.config.training
    batches = (training.max_steps or float("inf")) * training.gradient_accumulation_steps
    alike = max(1, SEGMENT_STEP // (FP32 * workload.model.vocab_size * workload.rows))
    found = outgrown(workload.data, workload.length, workload.rows, batches, alike)
    half = ENDS * found.deviation
    ends = LEFT * max(0.0, found.mean - half), LEFT * found.mean, LEFT_AT_MOST * (found.mean + half)
    low, middle, high = (min(free, round(pools.loss * records)) for records in ends)
    return Left(middle, middle - low, high - middle)


def cache_bytes(workload: Workload, beyond: int) -> int:
    """The part of the bytes reserved beyond those handed out that the allocator returns before memory runs out.

    Whole segments that nothing uses: PyTorch returns them to the driver when a request fails, and asks again. What is
    free in an expandable segment lies between live blocks, and counts as needed.
    """
    return 0 if workload.on_cpu or workload.stack.expandable_segments else beyond


def residue_kind(workload: Workload) -> ResidueKind:
    """The key of the fitted share for steps of one length."""
    return "scores" if workload.config.training.attn_implementation == "eager" else "plain"


def residue(pools: Pools) -> tuple[float, float]:
    """Bytes that stay cached with steps of one length and of varied lengths, each to be taken by a fitted share.

    One length: the next step finds every block of the one before; what the smaller of loss and layer needs is not
    served by the blocks of the other. Varied: a block of logits of one length is too small for the next.
    """
    return min(pools.loss, pools.layer), pools.loss


def context_bytes(workload: Workload) -> int:
    """Bytes of the CUDA context with the kernels that were loaded, as its generation or the one before; 0 on a CPU."""
    if workload.on_cpu:
        return 0
    major = known(workload.device.compute_capability)[0]
    newest = max((measured for measured in CONTEXT_MIB if measured <= major), default=min(CONTEXT_MIB))
    return round(CONTEXT_MIB[newest] * MIB)


def spread(workload: Workload) -> Spread:
    """The interval's ends as shares of the estimate."""
    if stands_in(workload):
        return SPREAD["guess"]
    if workload.on_cpu:
        return SPREAD["cpu"]
    if workload.stack.expandable_segments:
        return SPREAD["expandable"]
    return SPREAD["turing" if known(workload.device.compute_capability) < AMPERE else "ampere"]
