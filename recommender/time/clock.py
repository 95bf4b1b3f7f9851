"""Seconds of a step and of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recommender.data.profile.profile import DataProfile
from recommender.machine import capability
from recommender.machine.capability import known
from recommender.machine.facts import Device
from recommender.memory.measured import Measurement
from recommender.memory.weights import trainable_parameters
from recommender.memory.workload import FP32, Workload
from recommender.steps import Steps, plan_steps
from recommender.time.fitted import AMPERE, CPU, CPU_BANDWIDTH, CPU_FLOPS_PER_CORE, TURING, Speed
from recommender.time.pace import Pace, pace_of
from recommender.time.types import TimeEstimate
from recommender.time.work import Work, forward_work, training_work

LEGENDRE = (
    (0.0254, 0.0647),
    (0.1292, 0.1399),
    (0.2971, 0.1909),
    (0.5, 0.2090),
    (0.7029, 0.1909),
    (0.8708, 0.1399),
    (0.9746, 0.0647),
)
"""Points and weights that integrate a quantile function from 0 to 1 (Gauss and Legendre, seven points)."""
UPDATE_PASSES = 8
"""Times that AdamW moves a trained parameter's bytes: gradient, clipping, two states and the parameter."""
HOST_BUS = 12e9
"""Bytes a second between the card and pinned host memory: assumed, as of PCIe 3.0 × 16 or 4.0 × 8. TRL moves
checkpoints beside the arithmetic; that none of it is hidden is the worst case."""
DISK_BANDWIDTH = 500e6
"""Bytes a second that a checkpoint is written with: an ordinary SSD."""
SAVE_SECONDS = 1.0
"""Of a checkpoint beside its bytes."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The peak rates of a device in a second, and the share of them that it reaches."""

    products: float
    full_products: float
    bandwidth: float
    speed: Speed

    def seconds(self, work: Work) -> float:
        """Time of a micro-batch's work."""
        products = work.half_flops / self.products + work.full_flops / self.full_products
        traffic = work.moved_bytes / self.bandwidth
        bus = work.bus_bytes / HOST_BUS
        return (
            self.speed.products * products + self.speed.traffic * traffic + self.speed.pass_seconds * work.layers + bus
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """An average micro-batch."""

    rows: float
    padded: float
    """Tokens that each row is padded to."""
    real: float
    """Tokens of it that are not padding."""


def rates(device: Device, precision: str) -> Rates | None:
    """The device's rates; None where they are not known.

    A card without bfloat16 units multiplies it in fp32.
    """
    if device.kind == "cpu":
        cores = device.cores or 1
        product = CPU_FLOPS_PER_CORE * cores
        return Rates(product, product, CPU_BANDWIDTH * cores, CPU)
    full = device.flops_fp32
    if full is None or device.bandwidth is None:
        return None
    half = {"bf16": device.flops_bf16, "fp16": device.flops_fp16, "fp32": full}[precision] or full
    older = known(device.compute_capability) < capability.AMPERE
    return Rates(half, full, device.bandwidth, TURING if older else AMPERE)


def average_batch(workload: Workload, data: DataProfile | None) -> Batch:
    """The average micro-batch.

    Rows are drawn at random and padded to the longest. The u-th quantile of the longest of `rows` draws is the
    u^(1/rows)-th of the lengths, and its expected length the integral of that.
    """
    if workload.packed:
        return Batch(workload.rows, workload.length, workload.length)
    if data is None or not data.rows:
        return Batch(workload.rows, workload.length, workload.rows * workload.length)
    limit = workload.config.data.max_length
    mean = data.tokens_at(limit) / data.rows
    if workload.rows == 1:
        return Batch(1, mean, mean)
    longest = sum(weight * data.quantile(u ** (1 / workload.rows)) for u, weight in LEGENDRE)
    return Batch(workload.rows, max(mean, min(limit, longest)), workload.rows * mean)


def worst_step_seconds(workload: Workload) -> float | None:
    """Seconds of an optimizer step whose micro-batches are all as long as the longest: the measured worst step.

    None where the device's speed is unknown.
    """
    device = rates(workload.device, workload.config.training.precision)
    if device is None:
        return None
    return _accumulation(workload) * device.seconds(training_work(workload, workload.rows, workload.length)) + _update(
        workload, device
    )


def measured_pace(workload: Workload, known: Sequence[Measurement]) -> Pace | None:
    """The correction of a workload's time by this machine's measurements; None where the device's speed is unknown."""
    if not known:
        return None
    device, predicted = rates(workload.device, workload.config.training.precision), worst_step_seconds(workload)
    if device is None or predicted is None:
        return None
    return pace_of(workload, predicted, (device.speed.low, device.speed.high), known)


def estimate_time(
    workload: Workload, data: DataProfile | None, checkpoint_bytes: int, pace: Pace | None = None
) -> TimeEstimate | None:
    """Time of a step and of the run.

    Args:
        workload: What is priced.
        data: Token lengths; without them every row is taken as long as the limit, and the run's time is not known.
        checkpoint_bytes: Size of one checkpoint.
        pace: How this machine's measured steps move it; the formula's own without one.

    Returns:
        None where the device's speed is unknown.
    """
    training = workload.config.training
    device = rates(workload.device, training.precision)
    if device is None:
        return None
    pace = pace or Pace(1.0, device.speed.low, device.speed.high)
    batch = average_batch(workload, data)
    micro = pace.factor * device.seconds(training_work(workload, batch.rows, batch.padded))
    update = pace.factor * _update(workload, device)
    step = training.gradient_accumulation_steps * micro + update
    steps = plan_steps(workload.config, data)
    total, saving = None, 0.0
    if steps is not None:
        saving = steps.saves * (SAVE_SECONDS + checkpoint_bytes / DISK_BANDWIDTH)
        total = (
            _micro_batches(workload, steps) * micro
            + steps.total * update
            + pace.factor * _evaluating(workload, steps, device, batch)
            + saving
        )
    return TimeEstimate(
        tokens_per_second=training.gradient_accumulation_steps * batch.real / step,
        step_seconds=step,
        total_seconds=total,
        low_seconds=None if total is None else pace.low * total,
        high_seconds=None if total is None else pace.high * total,
        steps=steps.total if steps else None,
        tokens=round(_micro_batches(workload, steps) * batch.real) if steps else None,
        saving_seconds=saving,
        basis="measured" if pace.same_plan else "formula",
    )


def _update(workload: Workload, device: Rates) -> float:
    """Seconds of the optimizer's step."""
    return UPDATE_PASSES * FP32 * trainable_parameters(workload) / device.bandwidth


def _micro_batches(workload: Workload, steps: Steps) -> float:
    """Micro-batches of the run; the last of an epoch counts by its rows."""
    each = workload.config.training.per_device_train_batch_size
    return min(steps.total / steps.per_epoch * steps.train_rows / each, steps.total * _accumulation(workload))


def _accumulation(workload: Workload) -> int:
    return workload.config.training.gradient_accumulation_steps


def _evaluating(workload: Workload, steps: Steps, device: Rates, batch: Batch) -> float:
    """Seconds of all evaluations, in batches of the training size."""
    if not steps.eval_rows:
        return 0.0
    batches = steps.eval_rows / workload.config.training.per_device_train_batch_size
    return steps.evaluations * batches * device.seconds(forward_work(workload, batch.rows, batch.padded))
