"""The estimator bound to one model, device and data, with a memo of its estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.estimate.types import Estimate, Peak
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec

Pricer = Callable[[FinetuneConfig], Estimate]
"""The price of a configuration, for one model, device and data set."""


def pricer(model: ModelSpec, device: Device, data: DataProfile | None) -> Pricer:
    """Return a function from configuration to estimate that computes each estimate once."""
    from recommender.estimate.estimate import estimate

    known: dict[str, Estimate] = {}

    def price(config: FinetuneConfig) -> Estimate:
        key = config.model_dump_json(exclude={"run"})
        if key not in known:
            known[key] = estimate(config, model, device, data)
        return known[key]

    return price


def centred(price: Pricer, config: FinetuneConfig, known: Estimate) -> Pricer:
    """Return a pricer shifted by known estimate less formula at `config`, for example after a trace.

    What a change saves stays the formula's difference; whether that is enough is judged from the better estimate. The
    same bytes are added everywhere, since most of what the formula misses, such as the context, stays with a change.

    Args:
        price: The formula.
        config: What `known` is an estimate of.
        known: The better estimate, such as a trace.
    """
    from recommender.estimate.types import fits_in
    from recommender.memory.measured import moved_parts

    by, was = known.peak, price(config).peak

    def moved(other: FinetuneConfig) -> Estimate:
        found = price(other)
        if by == was:
            return found
        peak = found.peak
        process = max(0, peak.process_bytes + by.process_bytes - was.process_bytes)
        parts = moved_parts(found.parts, process)
        there = Peak(
            max(0, peak.allocated_bytes + by.allocated_bytes - was.allocated_bytes),
            max(0, peak.reserved_bytes + by.reserved_bytes - was.reserved_bytes),
            process,
            max(0, peak.low_bytes + by.low_bytes - was.low_bytes),
            max(process, peak.high_bytes + by.high_bytes - was.high_bytes),
            min(max(0, peak.cache_bytes + by.cache_bytes - was.cache_bytes), parts["allocator"]),
            peak.cache_less_bytes,
            peak.cache_more_bytes,
        )
        return replace(found, peak=there, parts=parts, fits=fits_in(there, found.free_bytes))

    return moved
