"""From what PyTorch hands out to what nvidia-smi shows: workspaces, the allocator's rest, the CUDA context."""

from __future__ import annotations

from recommender.memory.case import Case

MIB = 2**20
HOPPER = (9, 0)


def workspace_bytes(case: Case) -> int:
    """The workspaces of cuBLAS: one for the forward pass's thread and one for autograd's.

    PyTorch's default is 4096 KiB × 2 + 16 KiB × 8 before Hopper, 32 MiB from Hopper on (`CUDABlas.cpp`,
    `parseChosenWorkspaceSize`).
    """
    if case.on_cpu:
        return 0
    one = 32 * MIB if (case.device.compute_capability or (8, 0)) >= HOPPER else 8 * MIB + 128 * 1024
    return 2 * one


def reserved_beyond(case: Case, allocated: int) -> int:
    """What the allocator holds beyond what it has handed out."""
    share = 0.02 if case.stack.expandable_segments else 0.12
    return 0 if case.on_cpu else round(share * allocated)


def context_bytes(case: Case) -> int:
    """The CUDA context with the kernels that were loaded; 0 on a CPU."""
    if case.on_cpu:
        return 0
    capability = case.device.compute_capability or (8, 0)
    return round((140.875 if capability < (8, 0) else 450) * MIB)
