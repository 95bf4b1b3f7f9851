"""Types of the time estimate. Apart from the clock, so that screens get them without the memory model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TimeEstimate:
    """Time of the whole run; None where rows are unknown."""

    tokens_per_second: float
    """Real (unpadded) tokens through one optimizer step a second."""
    step_seconds: float
    """One optimizer step, all its micro-batches."""
    total_seconds: float | None
    """With evaluation and saving."""
    low_seconds: float | None
    high_seconds: float | None
    steps: int | None
    """Optimizer steps of the run."""
    tokens: int | None
    """Real tokens that the run goes through."""
    saving_seconds: float = 0.0
    """Of total_seconds, what checkpoints take: it does not depend on the device's speed."""
    basis: Literal["formula", "measured"] = "formula"
    """'measured': at the pace of this plan's own measured step."""
