"""Several processes that share the rows of every step, each with the whole model (data parallel).

Worked out and not measured. A step's forward and backward passes are split evenly; the
gradients are summed over the cards once a step (a ring moves 2·(n-1)/n of them over its slowest link: Patarasuk and
Yuan 2009), and PyTorch's DistributedDataParallel keeps them once more in its buckets.
"""

from __future__ import annotations

import re
from dataclasses import replace

from recommender.config.edit import with_values
from recommender.config.launch import Launch
from recommender.config.schema import FinetuneConfig
from recommender.estimate.shards import Shards
from recommender.estimate.types import Estimate, Peak, fits_in
from recommender.machine.facts import Device, Machine
from recommender.time.types import TimeEstimate
from recommender.warning import note

LINK = 10e9
"""Bytes a second of a ring between cards without NVLink: assumed."""
COMMUNICATOR = 400 * 2**20
"""Bytes of NCCL's channels on each card: assumed."""
UNMEASURED = 1.2
"""Factor on the computed time of a run for its upper end."""
ACCUMULATION = "training.gradient_accumulation_steps"
_NUMBERED = re.compile(r"\s*(\d{1,3})\s*[x×*]\s*(.*)", re.IGNORECASE | re.DOTALL)


def split_count(name: str) -> tuple[int, str]:
    """Split a name into count and card: (2, 'rtx 4090') of '2x rtx 4090', (1, name) without a number."""
    found = _NUMBERED.fullmatch(name)
    return (max(1, int(found[1])), found[2]) if found else (1, name)


def named_cards(name: str, machine: Machine | None = None) -> Device:
    """Return the what-if device of '4090' or '2 × RTX 4090'.

    Raises:
        InputError: The catalogue has no such card.
    """
    from recommender.machine.devices import device_from_catalogue

    cards, card = split_count(name)
    return several(device_from_catalogue(card, machine), cards)


def several(device: Device, cards: int) -> Device:
    """Return a device of several equal cards; more than one is always a what-if."""
    if cards == 1:
        return device
    return replace(device, name=f"{cards} × {device.name}", count=cards * device.count, simulated=True)


def processes_of(config: FinetuneConfig, device: Device) -> int:
    """Return the number of training processes, those of all machines together.

    Args:
        config: What `launch` says comes first.
        device: Its count, where `launch` leaves the number to the machine.
    """
    launch = config.launch
    if isinstance(launch.processes, int):
        return launch.processes * launch.nodes
    if isinstance(launch.gpus, list):
        return (1 if launch.strategy == "split" else len(launch.gpus)) * launch.nodes
    return (1 if launch.strategy in {"single", "split"} else device.count) * launch.nodes


def on_one_card(config: FinetuneConfig, cards: int) -> FinetuneConfig:
    """Return the configuration of the same optimizer steps on one card: all micro-batches one after the other."""
    if cards == 1:
        return config
    return with_values(
        config,
        {
            ACCUMULATION: config.training.gradient_accumulation_steps * cards,
            "launch": Launch(),
        },
    )


def one_of(device: Device, processes: int) -> Device:
    """Return the device of one process: a card, or its share of this machine's memory where all run on the CPU."""
    if device.kind == "cpu":
        return replace(device, count=1, free_bytes=device.free_bytes // processes)
    return replace(device, count=1)


def shared(one: Estimate, cards: int, *, cpu: bool = False, shards: Shards | None = None) -> Estimate:
    """Return the estimate of each of several processes, from that of one that does all of the work.

    Args:
        one: Of `on_one_card`'s configuration.
        cards: How many share it.
        cpu: Whether they are processes on the cores that the one would have: a step takes as long, and gloo needs no
            buffers worth counting.
        shards: Of a model that is sharded; None where each process has the whole one, and keeps its gradients once
            more in buckets.
    """
    buckets = one.parts.get("gradients") or one.parts.get("adapter") or 0
    communicator = 0 if cpu else COMMUNICATOR
    grown = buckets if shards is None else shards.more
    peak = Peak(
        one.peak.allocated_bytes + grown,
        one.peak.reserved_bytes + grown,
        one.peak.process_bytes + grown + communicator,
        one.peak.low_bytes + grown,
        one.peak.high_bytes + grown + communicator,
        one.peak.cache_bytes,
        one.peak.cache_less_bytes,
        one.peak.cache_more_bytes,
    )
    parts = {**one.parts, "context": one.parts["context"] + communicator}
    if shards is None:
        parts["buckets"] = buckets
    else:
        parts |= {name: parts[name] - less for name, less in shards.less.items() if name in parts}
        parts["gathered"] = shards.gathered
    moved = 2 * (cards - 1) / cards * buckets if shards is None else shards.moved
    whose = "processes" if cpu else "cards"
    how = f"each of them with {'the whole model' if shards is None else 'a shard of it'}"
    return replace(
        one,
        fits=fits_in(peak, one.free_bytes),
        peak=peak,
        parts=parts,
        basis="formula",
        time=one.time if cpu or one.time is None else _faster(one.time, cards, moved / LINK, hidden=shards is not None),
        notes=(
            *one.notes,
            note("shared_unmeasured", f"Rows shared by {cards} {whose}, {how}: worked out, not measured."),
        ),
    )


def _faster(one: TimeEstimate, cards: int, exchange: float, *, hidden: bool) -> TimeEstimate:
    """Return the time of each process.

    Args:
        one: Of one that does all of the work.
        cards: How many share it.
        exchange: Seconds of what is sent and received in a step.
        hidden: Whether it goes on while they compute, as the next layer is gathered during this one.
    """
    computed = one.step_seconds / cards
    waited = max(0.0, exchange - computed) if hidden else exchange
    step, waits = computed + waited, waited * (one.steps or 0)

    def run(seconds: float | None, by: float = 1.0) -> float | None:
        return None if seconds is None else (seconds / cards + waits) * by

    return replace(
        one,
        tokens_per_second=one.tokens_per_second * one.step_seconds / step,
        step_seconds=step,
        total_seconds=run(one.total_seconds),
        low_seconds=run(one.low_seconds),
        high_seconds=run(one.high_seconds, UNMEASURED),
    )
