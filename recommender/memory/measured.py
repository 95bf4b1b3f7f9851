"""This machine's own measurements, which centre the next estimate and narrow its interval.

A line of calibration.jsonl in the state folder is one worst step: what was predicted, what was measured, on which
machine (device, driver, torch), by which recipe, of which plan. Only lines of the same machine count.

The same plan measured before: its memory is the answer. Another plan of the same recipe: how far off its estimate was
tells part of how far off this one is. The logarithm of truth over estimate is taken as a part that a recipe on a
machine has in common (variance τ²) and one that each plan has of its own (σ²). After n measurements with mean m the
common part is expected at w·m, w = n·τ² / (n·τ² + σ²), with variance τ²·(1 - w): the normal distribution's update. τ²
is what the interval leaves beside σ².
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

from recommender.machine.facts import Device
from recommender.memory.fitted import ENDS, FORMULA, OWN_CPU, OWN_GPU, REPEATED, REPEATED_CPU, Spread
from recommender.memory.process import spread
from recommender.memory.workload import Workload
from recommender.paths import state_dir

FILE = "calibration.jsonl"
COMPARABLE = 4
"""Largest ratio between two plans' estimates at which one plan's error, as a share, says something of the other's: what
is missed beside the tensors (libraries, the context) is a number of bytes, which is most of a tiny model's error."""
SECONDS = ("predicted_seconds", "measured_seconds", "load")
"""Fields that older lines have not."""
GIVES_WAY = ("allocator", "activations", "loss", "gradients")
"""Parts that shrink, in this order, when less was measured than was priced."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One worst step beside its prediction. Bytes of process memory."""

    machine: str
    recipe: str
    plan: str
    formula: int
    """Version of the formula that predicted."""
    predicted_bytes: int
    measured_bytes: int
    predicted_seconds: float | None = None
    """The formula's, of the same step; None in older lines, or where the device's speed is unknown."""
    measured_seconds: float | None = None
    load: float | None = None
    """Of the machine while it was measured, a core."""

    @property
    def ratio_of_seconds(self) -> float | None:
        """Measured over predicted; None where either is unknown."""
        if not self.predicted_seconds or not self.measured_seconds:
            return None
        return self.measured_seconds / self.predicted_seconds


@dataclass(frozen=True, slots=True)
class Centred:
    """An estimate of process memory corrected by measurements."""

    process: int
    spread: Spread
    measurements: int
    """Of this very plan."""
    others: int
    """Measured plans of the same recipe that moved it."""

    @property
    def same_plan(self) -> bool:
        """Whether this very plan was measured."""
        return self.measurements > 0


def machine_key(device: Device) -> str:
    """The key of a machine: device, driver and torch."""
    return " | ".join((device.name, device.driver or "no driver", device.torch_version or "unknown torch"))


def recipe_key(workload: Workload) -> str:
    """The key of a workload's recipe: all that matters but sizes."""
    config, training = workload.config, workload.config.training
    return " | ".join(
        (
            workload.stack.name,
            config.method,
            f"{workload.bits or 16} bits",
            training.precision,
            training.attn_implementation,
            training.optim,
            *(name for name, on in _switches(workload) if on),
        )
    )


def _switches(workload: Workload) -> tuple[tuple[str, bool], ...]:
    training, lora = workload.config.training, workload.config.lora
    return (
        ("checkpointing", training.gradient_checkpointing),
        ("offloading", training.activation_offloading),
        ("packed", workload.packed),
        ("dropout", lora.lora_dropout > 0),
        ("dora", lora.use_dora),
    )


def plan_key(workload: Workload) -> str:
    """The key of a plan: recipe, model and sizes, on which memory depends."""
    lora, model = workload.config.lora, workload.model
    sizes = (
        model.hub_id or model.name,
        model.total_parameters,
        workload.rows,
        workload.length,
        bool(workload.accumulates),
    )
    ranks = sorted((target.linear.name, target.r) for target in workload.targets)
    extras = (
        sorted(lora.modules_to_save),
        lora.bias,
        str(lora.init_lora_weights),
        workload.config.quantization.double_quant,
    )
    return " | ".join((recipe_key(workload), *map(str, sizes), repr(ranks), *map(str, extras)))


def measurement_of(
    workload: Workload, predicted: int, measured: int, seconds: tuple[float | None, float | None] = (None, None)
) -> Measurement:
    """The measurement of a worst step, as it is stored.

    Args:
        workload: What was measured.
        predicted: The formula's own estimate of process memory, in bytes, not centred.
        measured: Process memory at the peak, bytes.
        seconds: Of the step, by the formula (not moved either) and measured.
    """
    key = (machine_key(workload.device), recipe_key(workload), plan_key(workload))
    return Measurement(*key, FORMULA, predicted, measured, *seconds, load_now())


def load_now() -> float | None:
    """Programs that wanted to run in the last minute, for each core; None where the system does not say."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        return None


def measured_here(device: Device) -> tuple[Measurement, ...]:
    """The measurements of this machine; none for a simulated device."""
    if device.simulated:
        return ()
    path = state_dir() / FILE
    try:
        status = path.stat()
    except OSError:
        return ()
    return _by_machine(path, status.st_mtime_ns, status.st_size).get(machine_key(device), ())


@cache
def _by_machine(path: Path, _changed: int, _size: int) -> Mapping[str, tuple[Measurement, ...]]:
    """The file's measurements by machine; torn or foreign lines are passed over."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, tuple[Measurement, ...]] = {}
    for line in lines:
        if (one := _read(line)) is not None:
            found[one.machine] = (*found.get(one.machine, ()), one)
    return found


def _read(line: str) -> Measurement | None:
    try:
        raw = json.loads(line)
        seconds = {name: raw.get(name) for name in SECONDS}
        one = Measurement(**{name: raw[name] for name in Measurement.__slots__ if name not in seconds}, **seconds)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    sizes = (one.predicted_bytes, one.measured_bytes)
    sound = all(isinstance(size, int) and size > 0 for size in sizes) and isinstance(one.machine, str)
    return one if sound and all(map(_positive_or_none, seconds.values())) else None


def _positive_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf)


def centre(workload: Workload, process: int, known: Sequence[Measurement]) -> Centred:
    """Centre and narrow an estimate by what was measured on the same machine.

    Args:
        workload: What is priced.
        process: The formula's estimate, bytes.
        known: Measurements of this machine.
    """
    prior = spread(workload)
    if not known:
        return Centred(process, prior, 0, 0)
    plan, recipe = plan_key(workload), recipe_key(workload)
    if same := [one.measured_bytes for one in known if one.plan == plan]:
        return Centred(round(median(same)), repeated(workload, len(same)), len(same), 0)
    ratios = _ratios(
        one
        for one in known
        if one.recipe == recipe and one.formula == FORMULA and _alike_in_size(one.predicted_bytes, process)
    )
    if not ratios:
        return Centred(process, prior, 0, 0)
    low, high = math.log(prior.low), math.log(prior.high)
    own = (OWN_CPU if workload.on_cpu else OWN_GPU) ** 2
    common = max(0.0, ((high - low) / (2 * ENDS)) ** 2 - own)
    weight, half = shrunk(len(ratios), common, own)
    middle = weight * fmean(ratios) + (1 - weight) * (low + high) / 2
    # The estimate itself stays within its interval's ends, which need not be symmetrical around it.
    moved = weight * fmean(ratios)
    ends = Spread(min(1.0, math.exp(middle - half - moved)), max(1.0, math.exp(middle + half - moved)))
    return Centred(round(process * math.exp(moved)), ends, 0, len(ratios))


def repeated(workload: Workload, count: int) -> Spread:
    """Interval of a plan that was measured `count` times: of the next measurement around their middle."""
    if not workload.on_cpu:
        return REPEATED
    half = ENDS * REPEATED_CPU * math.sqrt(1 + 1 / count)
    return Spread(math.exp(-half), math.exp(half))


def _ratios(measured: Iterable[Measurement]) -> list[float]:
    """Logarithms of measured over estimated, one a plan: repeats of a plan are merged."""
    plans: dict[str, list[float]] = {}
    for one in measured:
        plans.setdefault(one.plan, []).append(math.log(one.measured_bytes / one.predicted_bytes))
    return [median(ratios) for ratios in plans.values()]


def shrunk(count: int, common: float, own: float) -> tuple[float, float]:
    """Share of the measured mean that another plan is moved by, and half its interval's width, as a logarithm.

    Args:
        count: Measurements.
        common: Variance of the part that recipe and machine have in common.
        own: Variance of each plan's own part.
    """
    weight = count * common / (count * common + own)
    return weight, ENDS * math.sqrt(common * (1 - weight) + own)


def _alike_in_size(one: int, other: int) -> bool:
    """Whether two estimates in bytes are near enough for one share of error to hold for both."""
    return max(one, other) <= COMPARABLE * min(one, other)


def moved_parts(parts: Mapping[str, int], process: int) -> dict[str, int]:
    """Rescale the parts to sum to `process`: a surplus goes to the allocator, a deficit comes off what comes and goes.

    Where that is not enough (less was measured than is resident) the weights give way, which a page that was never
    touched explains on a CPU.
    """
    moved = dict(parts)
    missing = process - sum(parts.values())
    if missing >= 0:
        moved["allocator"] = moved.get("allocator", 0) + missing
        return moved
    for name in (*GIVES_WAY, "optimizer", "adapter", "context", "workspace", "weights"):
        taken = min(moved.get(name, 0), -missing)
        if taken:
            moved[name] -= taken
            missing += taken
    return moved
