"""What all tests share: few cores, with several workers and real runs on them."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Read when torch's libgomp is loaded; `trainer.environment` says what it does and gives it to the program's children.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# How long an example takes says how busy the cores are, and nothing of the code under test.
settings.register_profile("shared-cores", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-cores")
