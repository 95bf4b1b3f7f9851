"""The capabilities of each NVIDIA GPU generation, by compute capability. All other modules ask this one.

A new generation needs a constant here where its answers differ from the one before, its CUDA context in
`recommender.memory.fitted`, its speed in `recommender.time.fitted`, and its kernels in `recommender.machine.wheels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Capability = tuple[int, int]
"""Major and minor, as CUDA reports them."""

TURING: Final[Capability] = (7, 5)
AMPERE: Final[Capability] = (8, 0)
ADA: Final[Capability] = (8, 9)
HOPPER: Final[Capability] = (9, 0)
BLACKWELL: Final[Capability] = (10, 0)

ASSUMED: Final = AMPERE
"""Of a GPU that is known by its memory alone."""
FLASH_FROM: Final[Mapping[str, Capability]] = {"flash_attention_2": AMPERE, "flash_attention_3": HOPPER}
"""From where each runs (the READMEs of flash-attn)."""
LLM_INT8_FROM: Final = TURING
"""From where bitsandbytes recommends LLM.int8() (its README, table of hardware)."""

_MIB = 2**20


def known(capability: Capability | None) -> Capability:
    """Return the capability, or the one that is assumed where it is unknown."""
    return capability or ASSUMED


def has_bf16(capability: Capability | None) -> bool:
    """Whether the GPU multiplies bfloat16 natively; False for an unknown GPU."""
    return capability is not None and capability >= AMPERE


def has_tf32(capability: Capability | None) -> bool:
    """Whether fp32 products can run as TF32 on tensor cores; False for an unknown GPU."""
    return capability is not None and capability >= AMPERE


def has_flash_kernel(capability: Capability | None) -> bool:
    """Whether PyTorch's SDPA has its flash kernel there; before Ampere only the memory-efficient one runs."""
    return known(capability) >= AMPERE


def cublas_workspace_bytes(capability: Capability | None) -> int:
    """Bytes of a thread's cuBLAS workspace in PyTorch.

    4096 KiB × 2 + 16 KiB × 8 before Hopper, 32 MiB from Hopper on (`CUDABlas.cpp`, `parseChosenWorkspaceSize`).
    """
    return 32 * _MIB if known(capability) >= HOPPER else 8 * _MIB + 128 * 1024


def version(capability: Capability | None) -> str:
    """The capability as text, such as '8.0'; 'unknown' where it is unknown."""
    return "unknown" if capability is None else ".".join(map(str, capability))
