"""Measured worst steps of this machine, kept in the state folder, where the next estimate finds them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from recommender.paths import state_dir
from trainer.run.folder import append_line

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.data.profile.profile import DataProfile
    from recommender.machine.facts import Device
    from recommender.memory.measured import Measurement
    from recommender.model.spec import ModelSpec


def keep(
    config: FinetuneConfig, model: ModelSpec, device: Device, data: DataProfile | None, measured: Mapping[str, Any]
) -> Measurement | None:
    """Store a measured worst step in the state folder, where the next estimate finds it, and return it.

    A folder that cannot be written, or a model whose memory was not learned, costs the next estimate its centre, and
    nothing else. Not of several processes: they slow each other down where they share cores, and hold buckets or shards
    that one does not.

    Args:
        config: What was measured.
        model: Its model.
        device: On which device.
        data: The rows that it was measured with.
        measured: A 'preflight' event's keys.
    """
    from recommender.estimate.data_parallel import processes_of
    from recommender.memory.measured import FILE, measurement_of
    from recommender.memory.not_learned import NotLearned
    from recommender.memory.price import price
    from recommender.memory.stacks import stack_for
    from recommender.memory.workload import resolve_workload
    from recommender.time.clock import worst_step_seconds

    peak = int(measured.get("process_bytes") or 0)
    if device.simulated or peak <= 0 or processes_of(config, device) > 1 or config.launch.kind == "fsdp":
        return None
    try:
        workload = resolve_workload(config, model, device, data, stack_for(config))
        seconds = (worst_step_seconds(workload), float(measured.get("step_seconds") or 0) or None)
        priced = price(workload)
    except NotLearned:
        return None
    one = measurement_of(workload, priced.process - priced.left.middle, peak, seconds)
    line = {"t": time.time(), **asdict(one), "measured": dict(measured)}
    with suppress(OSError):
        state_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
        append_line(state_dir() / FILE, line)
    return one
