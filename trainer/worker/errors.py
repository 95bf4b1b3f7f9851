"""Errors that a worker tells apart: no memory left, and a loss that needs an earlier checkpoint. Imports no torch."""

from __future__ import annotations

from typing import Final

OUT_OF_MEMORY_WORDS: Final = (
    # CUDA itself, Triton and bitsandbytes, where they ask the driver past PyTorch's allocator.
    "out of memory",
    # PyTorch's allocator on a CPU: a plain RuntimeError.
    "allocate memory",
    # cuBLAS, whose workspace or handle found no room (PyTorch's `CUDA error: CUBLAS_STATUS_ALLOC_FAILED`).
    "STATUS_ALLOC_FAILED",
)


class RollBack(Exception):
    """The run must return to its last checkpoint and continue at half the learning rate."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether this error, or one that caused it, says that the device or the host has no memory left."""
    import torch

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, torch.OutOfMemoryError | MemoryError):
            return True
        if isinstance(seen, RuntimeError) and any(word in str(seen) for word in OUT_OF_MEMORY_WORDS):
            return True
        seen = seen.__cause__
    return False
