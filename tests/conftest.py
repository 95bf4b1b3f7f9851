"""What all tests share: the two workers of `pytest -n 2` have the cores to share, and torch runs in both."""

from __future__ import annotations

import os

# Read when torch's libgomp is loaded; `trainer.environment` says what it does and gives it to the program's children.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
