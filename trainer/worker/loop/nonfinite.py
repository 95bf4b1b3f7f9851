"""Decides whether a step with a non-finite gradient is skipped, or the run returns to its last checkpoint."""

from __future__ import annotations

import math
from typing import Final, Literal

MOST_SKIPPED: Final = 5
"""Steps in a row without a finite gradient after which skipping is given up."""
MOST_SCALED: Final = 24
"""The same under fp16. PyTorch's GradScaler begins at 2^16 and halves at each such step: after 24 of them the scale is
2^-8, and what still overflows does so in the model, not by the scale."""

Verdict = Literal["learn", "skip", "leave", "back"]
"""Learn from the step; skip it; leave it to the gradient scaler, which skips it; go back to the last checkpoint."""


class NonFinite:
    """Judges each step by the norm of its gradient.

    Args:
        scaled: Whether a gradient scaler is at work (fp16), which finds its scale by steps that overflow.
        goes_back: Whether the run shall go back at the first such step that no scaler explains.
    """

    def __init__(self, *, scaled: bool, goes_back: bool) -> None:
        self._scaled = scaled
        self._goes_back = goes_back
        self._in_a_row = 0

    def judge(self, norm: float) -> Verdict:
        """Return the verdict on a step whose gradient has this norm."""
        if math.isfinite(norm):
            self._in_a_row = 0
            return "learn"
        self._in_a_row += 1
        if self._scaled:
            return "back" if self._in_a_row > MOST_SCALED else "leave"
        return "back" if self._goes_back or self._in_a_row > MOST_SKIPPED else "skip"
