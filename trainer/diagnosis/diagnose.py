"""The diagnosis: findings about a run as trouble appears, each with evidence and the change that would help.

Each rule looks at one snapshot and nothing else, and says nothing unless its evidence is plain: a diagnosis that cries
wolf is not read. What a rule takes for plain is beside it. Rules about learning are a stage's own (`diagnosis.stages`).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from recommender.stages import Stage
from recommender.units import count
from trainer.diagnosis import machine
from trainer.diagnosis.finding import Finding, Rule
from trainer.diagnosis.stages import LEARNING
from trainer.run.events import DISK_FULL

if TYPE_CHECKING:
    from trainer.history.reader import Snapshot

__all__ = ["Finding", "diagnose"]


def diagnose(snapshot: Snapshot) -> tuple[Finding, ...]:
    """The findings about a run, gravest first.

    Args:
        snapshot: The run at one moment.

    Returns:
        Troubles, the worst first; a single 'ok' when there are none.
    """
    found = [finding for rule in rules_for(snapshot.stage) if (finding := rule(snapshot))]
    return tuple(sorted(found, key=lambda finding: finding.level != "bad")) or (_well(snapshot),)


def died(snapshot: Snapshot) -> Finding | None:
    """Finding: the run's processes are gone without an end event."""
    if not snapshot.died:
        return None
    return Finding("bad", "the run died", snapshot.died, _how_to_go_on(snapshot))


def failed(snapshot: Snapshot) -> Finding | None:
    """Finding: the run failed, with its own reason."""
    if snapshot.died or snapshot.status != "failed":
        return None
    remedy = snapshot.end.get("remedy")
    help_ = remedy if isinstance(remedy, str) and remedy else _how_to_go_on(snapshot)
    return Finding("bad", "the run failed", snapshot.state.reason or "", help_)


def cannot_learn(snapshot: Snapshot) -> Finding | None:
    """Finding: adapters that had no gradient at the start, by which the run was stopped."""
    without = snapshot.adapters.get("without")
    if not isinstance(without, dict) or not without:
        return None
    kinds = ", ".join(f"{kind} ({number})" for kind, number in without.items())
    return Finding(
        "bad",
        "some adapters cannot learn",
        f"No gradient came to {kinds}: {count(int(snapshot.adapters.get('learning', 0)))} of "
        f"{count(int(snapshot.adapters.get('count', 0)))} adapters learn.",
        "Leave these layers out of lora.target_modules and start again.",
    )


def not_finite(snapshot: Snapshot) -> Finding | None:
    """Finding: the loss is NaN or infinite and has not recovered."""
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


def waiting_for_room(snapshot: Snapshot) -> Finding | None:
    """Finding: the run is paused because its disk is full."""
    reason = snapshot.state.reason or ""
    if snapshot.status != "paused" or snapshot.state.cause != DISK_FULL:
        return None
    return Finding(
        "bad",
        "paused: the disk is full",
        reason.partition(";")[0] + ".",
        "Free some room: it goes on by itself. Stopping it at once leaves this save out.",
    )


ABOUT_THE_RUN: Final[Sequence[Rule]] = (died, failed, cannot_learn, waiting_for_room, not_finite)
"""Rules that hold for every stage, told before those about learning."""


def rules_for(stage: Stage) -> Sequence[Rule]:
    """Return the rules that hold for runs of a stage, in the order in which findings of the same level are told."""
    return (*ABOUT_THE_RUN, *LEARNING[stage.name], *machine.RULES)


def _well(snapshot: Snapshot) -> Finding:
    if snapshot.status == "finished":
        return Finding("ok", "finished; no trouble seen")
    if snapshot.state.ended:
        return Finding("ok", "stopped; no trouble seen")
    if not snapshot.steps:
        return Finding("ok", "no step yet; no trouble seen")
    edge = min(200, len(snapshot.steps) // 4)
    began, now = (part.column("loss") for part in (snapshot.steps[:edge], snapshot.steps[-edge:]))
    if edge >= 5 and _mean(now) < _mean(began):
        return Finding("ok", "learning; no trouble seen")
    return Finding("ok", "no trouble seen")


def _mean(losses: array[float]) -> float:
    """Mean of the losses that there are; NaN, which is not below anything, when there are none."""
    known = [loss for loss in losses if math.isfinite(loss)]
    return sum(known) / len(known) if known else math.nan


def _how_to_go_on(snapshot: Snapshot) -> str:
    if snapshot.checkpoints:
        return f"`lora-wizard resume {snapshot.argument}` goes on from its last checkpoint."
    return "There is no checkpoint to go on from; start it again when the cause is gone."
