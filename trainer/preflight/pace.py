"""Comparison of a measured worst step with the plan: the run's time at that pace, and deviations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from recommender.units import duration, gib

if TYPE_CHECKING:
    from recommender.estimate.types import Estimate

ALIKE = 1.25
"""Times that differ by less are not told apart."""


def out_of_bounds(planned: Estimate, taken: float | None, measured: Mapping[str, float]) -> str:
    """The measured values outside of the plan's intervals, in words with their cause; empty where there are none.

    Args:
        planned: The plan's estimate.
        taken: Seconds of the run at the measured pace.
        measured: A 'preflight' event's keys.
    """
    peak, time = int(measured.get("process_bytes") or 0), planned.time
    low, high = planned.peak.low_bytes, planned.peak.high_bytes
    said = []
    if peak and not low <= peak <= high:
        said.append(f"the plan says {gib(low)} to {gib(high)}; its next estimate is what was measured")
    if time and taken and time.high_seconds and taken > time.high_seconds:
        said.append(f"slower than planned{_load()}")
    return "; ".join(said)


def times(planned: Estimate, taken: float | None) -> str:
    """The run's time at the measured pace beside the planned one; empty where they are alike or unknown."""
    total = planned.time.total_seconds if planned.time else None
    if not taken or not total or 1 / ALIKE < taken / total < ALIKE:
        return ""
    return f"about {duration(taken)} at the measured pace; planned {duration(total)}"


def _load() -> str:
    """A clause on the machine's load, where it is more than its cores."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f": the machine is busy, load {load:.0f} on {cores} cores" if load > cores else ""
