"""Seconds of a step and of a run."""

from __future__ import annotations

from recommender.data.profile import DataProfile
from recommender.memory.case import Case
from recommender.plan import TimeEstimate
from recommender.steps import plan_steps

CPU_FLOPS = 45e9
"""fp32 FLOP/s of one core."""


def estimate_time(case: Case, data: DataProfile | None) -> TimeEstimate | None:
    """Time of a step and of the run; None where the device's speed is unknown."""
    rate = _rate(case)
    if rate is None:
        return None
    training, model = case.config.training, case.model
    steps = plan_steps(case.config, data)
    length = case.length if data is None or not data.rows else data.tokens_at(case.config.data.max_length) / data.rows
    tokens = training.effective_batch_size * length
    passes = 6 if training.gradient_checkpointing else 4
    if case.config.method == "full":
        passes += 2
    seconds = tokens * passes * model.total_parameters / (rate * (0.35 if case.bits else 0.5))
    total = steps.total * seconds * 1.1 if steps else None
    return TimeEstimate(
        tokens_per_second=tokens / seconds,
        step_seconds=seconds,
        total_seconds=total,
        low_seconds=total and 0.6 * total,
        high_seconds=total and 1.6 * total,
        steps=steps.total if steps else None,
        tokens=round(steps.total * tokens) if steps else None,
    )


def _rate(case: Case) -> float | None:
    device = case.device
    if case.on_cpu:
        return CPU_FLOPS * (device.cores or 1)
    precision = case.config.training.precision
    return {"bf16": device.flops_bf16, "fp16": device.flops_fp16, "fp32": device.flops_fp32}[precision]
