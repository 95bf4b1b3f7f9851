"""The learning rate of a run that goes on from a checkpoint."""

from __future__ import annotations

from typing import Any

from trainer.worker.upstream import set_rates


def obey_rate(rate: float, scheduler: Any, optimizer: Any) -> None:
    """Set the configuration's rate, also where the checkpoint was trained at another (after going back)."""
    if all(base == rate for base in scheduler.base_lrs):
        return
    shares = [
        now / base if base else 0.0 for now, base in zip(scheduler.get_last_lr(), scheduler.base_lrs, strict=True)
    ]
    scheduler.base_lrs = [rate] * len(scheduler.base_lrs)
    for group, share in zip(optimizer.param_groups, shares, strict=True):
        group["initial_lr"], group["lr"] = rate, rate * share
    set_rates(scheduler, [group["lr"] for group in optimizer.param_groups])
