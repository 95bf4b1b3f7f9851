"""The doctor: names trouble in a run as it appears, with its evidence and the change that would help.

Each rule looks at one snapshot and nothing else, and says nothing unless its evidence is plain: a doctor that cries
wolf is not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final, Literal

from recommender.units import count, duration, gib
from trainer.events import SILENCE_SECONDS
from trainer.state import number, whole

if TYPE_CHECKING:
    from trainer.reader import Snapshot, StepPoint

Level = Literal["ok", "caution", "bad"]

SLOW_STEPS: Final = 20.0
"""A step is missed when it is this many times later than steps usually are; never before a minute."""
LEAST_SILENCE: Final = 60.0
LEAST_HEADROOM: Final = 0.02
"""Share of the card's memory; below it one longer row can end the run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the doctor says."""

    level: Level
    title: str
    """What is so, in one short sentence."""
    evidence: str = ""
    """The figures that it was seen by."""
    change: str = ""
    """What would help."""


def diagnose(snapshot: Snapshot) -> tuple[Finding, ...]:
    """Look a run over.

    Args:
        snapshot: The run at one moment.

    Returns:
        Troubles, the worst first; a single 'ok' when there are none.
    """
    found = [finding for rule in RULES if (finding := rule(snapshot))]
    return tuple(sorted(found, key=lambda finding: finding.level != "bad")) or (_well(snapshot),)


def died(snapshot: Snapshot) -> Finding | None:
    """Its processes are gone and it did not say goodbye."""
    if not snapshot.died:
        return None
    return Finding("bad", "the run died", snapshot.died, _how_to_go_on(snapshot))


def failed(snapshot: Snapshot) -> Finding | None:
    """It ended badly and said why."""
    if snapshot.died or snapshot.status != "failed":
        return None
    remedy = snapshot.end.get("remedy")
    help_ = remedy if isinstance(remedy, str) and remedy else _how_to_go_on(snapshot)
    return Finding("bad", "the run failed", snapshot.state.reason or "", help_)


def not_finite(snapshot: Snapshot) -> Finding | None:
    """The loss is NaN or infinite and has not come back."""
    if not snapshot.steps or snapshot.steps[-1].finite or snapshot.state.ended:
        return None
    first = snapshot.steps[-1].step
    for point in reversed(snapshot.steps):
        if point.finite:
            break
        first = point.step
    rate = snapshot.steps[-1].learning_rate
    lower = f" with learning_rate {rate / 2:.2g}" if rate else " with half the learning_rate"
    return Finding(
        "bad",
        "the loss is not a number",
        f"NaN or infinite since step {count(first)}: what is trained from here on is lost.",
        f"Stop without saving and start again{lower}; with fp16, use bf16 where the card has it.",
    )


def silent(snapshot: Snapshot) -> Finding | None:
    """The worker should be training and nothing comes."""
    if snapshot.state.ended or not snapshot.alive:
        return None
    beat = snapshot.state.heartbeat
    if beat is not None and snapshot.now - beat > SILENCE_SECONDS:
        return Finding(
            "caution",
            "no sign of life",
            f"The last one is {duration(snapshot.now - beat)} old, though the process is there.",
            "If the machine is not merely suspended or busy, stop the run and resume it.",
        )
    return _late_step(snapshot)


def _late_step(snapshot: Snapshot) -> Finding | None:
    if snapshot.status != "training" or len(snapshot.steps) < 5:
        return None
    usual = median(point.step_seconds or 0.0 for point in snapshot.steps[-50:])
    every = max(1, snapshot.steps[-1].step - snapshot.steps[-2].step)
    last = max(snapshot.steps[-1].t, _last_event(snapshot.events))
    waited = snapshot.now - last
    if usual <= 0 or waited < max(LEAST_SILENCE, SLOW_STEPS * usual * every):
        return None
    return Finding(
        "caution",
        f"no step for {duration(waited)}",
        f"A step usually takes {duration(usual)}.",
        "See the log (l); another program on this machine may be in the way.",
    )


def little_memory(snapshot: Snapshot) -> Finding | None:
    """The card is so full that one longer row may end the run."""
    if snapshot.state.ended or not snapshot.devices:
        return None
    latest = snapshot.devices[-1]
    used, total = whole(latest.get("memory_used")), whole(latest.get("memory_total"))
    if not used or not total or total - used >= LEAST_HEADROOM * total:
        return None
    return Finding(
        "caution",
        "the card's memory is nearly full",
        f"{gib(total - used)} of {gib(total)} left.",
        "Save a checkpoint (c); at the next start halve per_device_train_batch_size and double the accumulation.",
    )


RULES: Final[Sequence[Callable[[Snapshot], Finding | None]]] = (died, failed, not_finite, silent, little_memory)
"""Each returns what it found, or None. Another rule is one more function here."""


def _well(snapshot: Snapshot) -> Finding:
    if snapshot.status == "finished":
        return Finding("ok", "finished; no trouble seen")
    if snapshot.state.ended:
        return Finding("ok", "stopped; no trouble seen")
    if not snapshot.steps:
        return Finding("ok", "no step yet; no trouble seen")
    edge = min(200, len(snapshot.steps) // 4)
    if edge >= 5 and _mean_loss(snapshot.steps[-edge:]) < _mean_loss(snapshot.steps[:edge]):
        return Finding("ok", "learning; no trouble seen")
    return Finding("ok", "no trouble seen")


def _mean_loss(steps: Sequence[StepPoint]) -> float:
    """Mean of the losses that there are; NaN, which is not below anything, when there are none."""
    losses = [point.loss for point in steps if point.loss is not None]
    return sum(losses) / len(losses) if losses else math.nan


def _how_to_go_on(snapshot: Snapshot) -> str:
    if snapshot.checkpoints:
        return f"`lora-wizard resume {snapshot.run_id}` goes on from its last checkpoint."
    return "There is no checkpoint to go on from; start it again when the cause is gone."


def _last_event(events: Sequence[object]) -> float:
    """When the latest event came: an evaluation or a saved checkpoint is a sign of life too."""
    latest = events[-1] if events else None
    return (number(latest.get("t")) or 0.0) if isinstance(latest, dict) else 0.0
