"""The diagnosis's rules about the machine: silence, speed, heat, and memory that is short or unused."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from recommender.units import duration, gib, rate
from trainer.diagnosis.finding import Finding, Rule
from trainer.run.events import SILENCE_SECONDS
from trainer.run.state import number, whole

if TYPE_CHECKING:
    from trainer.history.reader import Snapshot

SLOW_STEPS: Final = 20.0
"""A step is missed when it is this many times later than steps usually are; never before a minute."""
LEAST_SILENCE: Final = 60.0
LEAST_HEADROOM: Final = 0.02
"""Share of the card's memory; below it one longer row can end the run."""
READINGS: Final = 24
"""Of the device, five seconds apart: two minutes, of which all or the middle one must say so."""
IDLE_PERCENT: Final = 50.0
"""Use of a GPU in the middle of the readings, below which it waits for its rows half of the time."""
UNUSED_SHARE: Final = 0.4
"""Of the card's memory; with less than that in use a micro-batch of twice the size fits for certain."""
NOT_FULL_PERCENT: Final = 85.0
"""Use of a GPU above which a bigger micro-batch gives it little more to do."""
SETTLED, LATELY, DROP = 40, 20, 0.6
"""Steps that the usual speed is taken from, latest steps, and the share of the usual below which they are slow."""


def throttled(snapshot: Snapshot) -> Finding | None:
    """Finding: the driver reduces the clocks, for heat or because the power supply asks for it."""
    latest = _latest(snapshot)
    reasons = [str(reading.get("slowdown") or "") for reading in latest]
    if snapshot.state.ended or len(latest) < READINGS or not all(reasons):
        return None
    heat = [value for reading in latest if (value := number(reading.get("temperature"))) is not None]
    if "heat" in reasons:
        seen = f"The driver has lowered its clocks for two minutes; {max(heat):.0f} °C." if heat else ""
        return Finding("caution", "the GPU is too hot", seen, "Check its fans and airflow, or lower its power limit.")
    return Finding(
        "caution",
        "the GPU is held back by its power supply",
        "The driver reports a power brake for two minutes.",
        "Tell the machine's administrator: its power supply or cabling cannot deliver what the card needs.",
    )


def slowed_down(snapshot: Snapshot) -> Finding | None:
    """Finding: the run has become much slower than it was, and stays so."""
    if snapshot.state.ended or len(snapshot.steps) < SETTLED + LATELY:
        return None
    looked_at = snapshot.steps[-11 * SETTLED :]
    speeds = [speed for speed in looked_at.column("tokens_per_second") if speed > 0]
    if len(speeds) < SETTLED + LATELY:
        return None
    usual, now = median(speeds[:-LATELY]), median(speeds[-LATELY:])
    if now >= DROP * usual:
        return None
    return Finding(
        "caution",
        "training has become slower",
        f"{rate(now)} over the last {LATELY} steps, {rate(usual)} before.",
        "See what else uses this machine (`top`, `nvidia-smi`), and whether its disk is full or swapping.",
    )


def slow_input(snapshot: Snapshot) -> Finding | None:
    """Finding: the GPU waits for input."""
    busy = _median_of(snapshot, "utilisation")
    if busy is None or busy >= IDLE_PERCENT or snapshot.status != "training" or _bigger_batch(snapshot):
        return None
    return Finding(
        "caution",
        "the GPU is idle half of the time",
        f"Median utilisation {busy:.0f} % over the last two minutes.",
        "More work at once keeps it busier: a larger per_device_train_batch_size, packing, or no gradient "
        "checkpointing where memory allows. Rows are tokenised already, so workers for loading would not help.",
    )


def unused_memory(snapshot: Snapshot) -> Finding | None:
    """Finding: a larger micro-batch would fit, and give the GPU more to do."""
    change = _bigger_batch(snapshot)
    if not change or snapshot.status != "training":
        return None
    used, total = (_median_of(snapshot, name) or 0.0 for name in ("memory_used", "memory_total"))
    busy = _median_of(snapshot, "utilisation") or 0.0
    return Finding(
        "caution",
        "memory is left for a bigger micro-batch",
        f"{gib(round(used))} of {gib(round(total))} in use, the GPU {busy:.0f} % busy.",
        f"At the next start: {change}. The effective batch stays the same.",
    )


def _bigger_batch(snapshot: Snapshot) -> str:
    """The change to a micro-batch of twice the size; empty where it would not fit, help, or leave the rest as it is."""
    used, total = _median_of(snapshot, "memory_used"), _median_of(snapshot, "memory_total")
    busy = _median_of(snapshot, "utilisation")
    training = snapshot.config.get("training")
    if not used or not total or busy is None or not isinstance(training, dict):
        return ""
    size, sums = whole(training.get("per_device_train_batch_size")), whole(training.get("gradient_accumulation_steps"))
    if not size or not sums or sums % 2 or used > UNUSED_SHARE * total or busy > NOT_FULL_PERCENT:
        return ""
    return f"per_device_train_batch_size {size} → {2 * size}, gradient_accumulation_steps {sums} → {sums // 2}"


def _latest(snapshot: Snapshot) -> Sequence[Any]:
    return snapshot.devices[-READINGS:]


def _median_of(snapshot: Snapshot, name: str) -> float | None:
    """The middle of the latest readings, None where there are too few."""
    if snapshot.state.ended:
        return None
    known = [value for reading in _latest(snapshot) if (value := number(reading.get(name))) is not None]
    return median(known) if len(known) >= READINGS else None


def silent(snapshot: Snapshot) -> Finding | None:
    """Finding: the worker should be training and sends no events."""
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
    usual = _usual_seconds(snapshot)
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
    """Finding: the card is so full that one longer row may end the run."""
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


def _usual_seconds(snapshot: Snapshot) -> float:
    known = [seconds for seconds in snapshot.steps[-50:].column("step_seconds") if seconds > 0]
    return median(known) if known else 0.0


def _last_event(events: Sequence[object]) -> float:
    """Time of the latest event: an evaluation or a saved checkpoint is a sign of life too."""
    latest = events[-1] if events else None
    return (number(latest.get("t")) or 0.0) if isinstance(latest, dict) else 0.0


RULES: Final[Sequence[Rule]] = (silent, throttled, slowed_down, slow_input, unused_memory, little_memory)
"""Rules that hold for every stage, told after those about learning."""
