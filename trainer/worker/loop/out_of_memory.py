"""Which errors mean that memory was used up: not all who ask for some say it alike."""

from __future__ import annotations

WORDS = (
    # CUDA itself, Triton and bitsandbytes, where they ask the driver past PyTorch's allocator.
    "out of memory",
    # PyTorch's allocator on a CPU: a plain RuntimeError.
    "allocate memory",
    # cuBLAS, whose workspace or handle found no room (PyTorch's `CUDA error: CUBLAS_STATUS_ALLOC_FAILED`).
    "STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this error, or one that led to it, says that the device or the host has no memory left."""
    import torch

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, torch.OutOfMemoryError | MemoryError):
            return True
        if isinstance(seen, RuntimeError) and any(word in str(seen) for word in WORDS):
            return True
        seen = seen.__cause__
    return False
