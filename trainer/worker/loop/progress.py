"""The sums between two log lines, which Trainer does not save: a file of each checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

PROGRESS: Final = "progress.json"
"""Its name, beside Transformers' own files."""


def progress_of(tokens: int, loss: float, last_logged_step: int) -> dict[str, Any]:
    """Return the sums between two log lines, which Trainer does not save."""
    return {
        "tokens": tokens,
        "loss_since_log": loss if math.isfinite(loss) else 0.0,
        "last_logged_step": last_logged_step,
    }


def read_progress(checkpoint: Path) -> dict[str, Any]:
    """Return the sums of a checkpoint."""
    document: dict[str, Any] = json.loads((checkpoint / PROGRESS).read_text(encoding="utf-8"))
    return document
