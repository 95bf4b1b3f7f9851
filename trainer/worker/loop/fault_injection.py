"""Fault injection by environment variables, for tests: a CPU and a tiny model have no such faults of their own."""

from __future__ import annotations

import os
from typing import Any

import torch

OUT_OF_MEMORY_TOKENS = "LORA_WIZARD_IMITATE_OOM_TOKENS"
"""Variable with 'TOKENS' or 'TOKENS:RANK': a larger training batch, of that rank, raises CUDA's out-of-memory error."""
NONFINITE_STEPS = "LORA_WIZARD_IMITATE_NONFINITE"
"""Variable with 'STEP' or 'STEP:RATE': that step's loss is NaN, with RATE only where the run's rate is as high."""


def inject_out_of_memory(inputs: Any) -> None:
    """Raise as an allocator would that has no room for such a batch."""
    limit, _, rank = os.environ.get(OUT_OF_MEMORY_TOKENS, "").partition(":")
    if limit and rank in ("", os.environ.get("RANK", "0")) and inputs["input_ids"].numel() > int(limit):
        raise torch.OutOfMemoryError("CUDA out of memory (imitated)")


def inject_nonfinite(loss: torch.Tensor, step: int, rate: float) -> torch.Tensor:
    """Turn the loss of a step, and with it its gradient, into NaN."""
    wanted = os.environ.get(NONFINITE_STEPS)
    if not wanted:
        return loss
    at, _, least = wanted.partition(":")
    return loss * float("nan") if step == int(at) and rate >= float(least or 0.0) else loss
