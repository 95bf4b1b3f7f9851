"""A measured worst step beside what was planned: how long the run takes at that pace, and what is out of bounds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from recommender.units import duration, gib

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.data.profile.profile import DataProfile
    from recommender.machine.facts import Device
    from recommender.model.spec import ModelSpec
    from recommender.plan.types import Estimate

ALIKE = 1.25
"""Times that differ by less are not told apart."""


def planned_worst_step(config: FinetuneConfig, model: ModelSpec, device: Device, data: DataProfile) -> float | None:
    """Seconds that the plan gives a step whose rows are all as long as the longest; None where the speed is unknown."""
    from recommender.config.edit import replace
    from recommender.estimate.estimate import estimate
    from recommender.steps import packs

    longest = config.data.max_length if packs(config) else min(config.data.max_length, max(1, data.longest))
    time = estimate(replace(config, {"data.max_length": longest}), model, device).time
    return None if time is None else time.step_seconds


def run_seconds(planned: Estimate, worst: float | None, measured: Mapping[str, float]) -> float | None:
    """Seconds of the run, its planned time but for saving stretched as the worst step was; None where unknown.

    Args:
        planned: The plan's estimate.
        worst: Seconds that the plan gives the worst step.
        measured: A 'preflight' event's keys.
    """
    time, step = planned.time, measured.get("step_seconds")
    if time is None or not time.total_seconds or not step or not worst:
        return None
    return time.saving_seconds + (time.total_seconds - time.saving_seconds) * step / worst


def out_of_bounds(planned: Estimate, taken: float | None, measured: Mapping[str, float]) -> str:
    """Return in words what was measured outside of what the plan says, and what that comes from; empty where nothing.

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
    """The machine's load, where it is more than its cores."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f": the machine is busy, load {load:.0f} on {cores} cores" if load > cores else ""
