"""Remedies for a plan that does not fit: single changes with their saving and cost, cheapest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.estimate.pricer import Pricer, pricer
from recommender.estimate.types import Estimate
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.plan.types import Remedy
from recommender.rules.base import by_how_much, slower
from recommender.rules.length import MULTIPLE, lost_share
from recommender.units import counted, percent

SMALLEST_RANK = 4
SHORTEST = 128


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan that needs less memory."""

    config: FinetuneConfig
    model: ModelSpec
    device: Device
    data: DataProfile | None
    estimate: Estimate
    price: Pricer

    def after(self, changes: Mapping[str, Any]) -> Estimate:
        """Estimate with these values changed."""
        return self.price(with_values(self.config, changes))


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that could be changed."""

    label: str
    changes: Mapping[str, Any]
    cost: Callable[[float | None], str] = field(default=by_how_much)
    """Phrase on the cost, computed from the change in time (a share, or None where unknown)."""


def remedies(
    config: FinetuneConfig,
    model: ModelSpec,
    device: Device,
    data: DataProfile | None,
    estimate: Estimate,
    *,
    price: Pricer | None = None,
) -> tuple[Remedy, ...]:
    """Changes that save memory, cheapest first; one that takes several together when none is enough alone.

    Args:
        config: The plan to change.
        model: Its model.
        device: Where it should fit.
        data: Its data, for what a shorter length cuts.
        estimate: Its price.
        price: The estimator; the project's own when None.
    """
    candidate = Candidate(config, model, device, data, estimate, price or pricer(model, device, data))
    offered = list(changes_of(candidate))
    told = [remedy for change in offered if (remedy := _priced(candidate, change)) is not None]
    if not any(remedy.fits == "yes" for remedy in told) and len(told) > 1:
        together = _together(candidate, [change for change in offered if change.label in {r.label for r in told}])
        told += [together] if together is not None else []
    return tuple(told)


def changes_of(candidate: Candidate) -> Iterator[Change]:
    """Yield all changes that a plan admits, cheapest first."""
    for kind in (_split, _checkpointing, _optimizer, _quantise, _offloading, _rank, _length):
        yield from kind(candidate)


def _priced(candidate: Candidate, change: Change) -> Remedy | None:
    after = candidate.after(change.changes)
    saves = candidate.estimate.peak.needed_bytes - after.peak.needed_bytes
    if saves <= 0:
        return None
    return Remedy(change.label, change.changes, saves, change.cost(slower(candidate.estimate, after)), after.fits)


def _together(candidate: Candidate, changes: list[Change]) -> Remedy | None:
    """Combine changes, cheapest first, until the plan fits; None where all of them are not enough."""
    merged: dict[str, Any] = {}
    for number, change in enumerate(changes, start=1):
        merged |= change.changes
        after = candidate.after(merged)
        if after.fits == "yes" and number > 1:
            saves = candidate.estimate.peak.needed_bytes - after.peak.needed_bytes
            label = " + ".join(each.label for each in changes[:number])
            costs_of_each = [each.cost(None) for each in changes[:number]]
            costs = "; ".join(filter(None, [by_how_much(slower(candidate.estimate, after)), *costs_of_each]))
            return Remedy(label, merged, saves, costs, after.fits)
    return None


def _split(candidate: Candidate) -> Iterator[Change]:
    """Change to smaller micro-batches at the same effective batch: the largest that fits, else single rows."""
    training = candidate.config.training
    micro, steps = training.per_device_train_batch_size, training.gradient_accumulation_steps
    best: dict[str, Any] | None = None
    smaller = micro
    while smaller > 1:
        smaller = next(size for size in range(smaller // 2, 0, -1) if (micro * steps) % size == 0)
        best = {
            "training.per_device_train_batch_size": smaller,
            "training.gradient_accumulation_steps": micro * steps // smaller,
        }
        if candidate.after(best).fits == "yes":
            break
    if best is not None:
        yield Change(
            f"batch {micro}×{steps} → {smaller}×{micro * steps // smaller}",
            best,
            lambda share: _with_time("same effective batch", share),
        )


def _checkpointing(candidate: Candidate) -> Iterator[Change]:
    if not candidate.config.training.gradient_checkpointing:
        yield Change("gradient checkpointing on", {"training.gradient_checkpointing": True})


def _optimizer(candidate: Candidate) -> Iterator[Change]:
    optim = candidate.config.training.optim
    if candidate.device.kind == "cuda" and optim in ("adamw_torch_fused", "adamw_torch", "paged_adamw_32bit"):
        yield Change(
            f"optimizer {optim} → paged_adamw_8bit",
            {"training.optim": "paged_adamw_8bit"},
            lambda share: _with_time("optimizer states rounded to 8 bits", share),
        )


def _quantise(candidate: Candidate) -> Iterator[Change]:
    method, bits = candidate.config.method, candidate.config.quantization.bits
    if method == "full":
        yield Change(
            "method full → lora",
            {"method": "lora", "quantization.bits": None},
            lambda share: _with_time("trains an adapter, not every weight; raise the learning rate tenfold", share),
        )
    if method == "lora" and not candidate.model.held_packed:
        yield Change(
            "method lora → qlora (4-bit NF4)",
            {"method": "qlora", "quantization.bits": 4},
            lambda share: _with_time("the frozen base is rounded to 4 bits", share),
        )
    if bits == 8:
        yield Change(
            "bits 8 → 4",
            {"quantization.bits": 4},
            lambda share: _with_time("the frozen base is rounded to 4 bits", share),
        )


def _offloading(candidate: Candidate) -> Iterator[Change]:
    training = candidate.config.training
    if candidate.device.kind == "cuda" and training.gradient_checkpointing and not training.activation_offloading:
        yield Change(
            "activation offloading on",
            {"training.activation_offloading": True},
            lambda share: _with_time("checkpoints go over the bus to host memory", share),
        )


def _rank(candidate: Candidate) -> Iterator[Change]:
    rank = candidate.config.lora.r
    settled = candidate.config.start_from is not None
    if candidate.config.method != "full" and not settled and rank > SMALLEST_RANK:
        lower = max(SMALLEST_RANK, rank // 2)
        yield Change(
            f"r {rank} → {lower}",
            {"lora.r": lower},
            lambda share: _with_time(f"the adapter holds {percent(1 - lower / rank)} less", share),
        )


def _length(candidate: Candidate) -> Iterator[Change]:
    """Change to the longest shorter length that fits, else to half."""
    length = candidate.config.data.max_length
    if length <= SHORTEST:
        return
    steps = range(SHORTEST // MULTIPLE, -(-length // MULTIPLE))
    first, last = 0, len(steps)
    while first < last:
        middle = (first + last) // 2
        if candidate.after({"data.max_length": steps[middle] * MULTIPLE}).fits == "yes":
            first = middle + 1
        else:
            last = middle
    shorter = steps[first - 1] * MULTIPLE if first else max(SHORTEST, length // 2 // MULTIPLE * MULTIPLE)

    def cost(_: float | None) -> str:
        if candidate.data is None:
            return "longer rows are cut"
        lost = lost_share(candidate.data, shorter) - lost_share(candidate.data, length)
        if lost <= 0:
            return "cuts nothing"
        return f"cuts {percent(lost)} of trained tokens, {counted(candidate.data.rows_cut(shorter), 'row')}"

    yield Change(f"max_length {length} → {shorter}", {"data.max_length": shorter}, cost)


def _with_time(what: str, share: float | None) -> str:
    time = by_how_much(share)
    return f"{what}, {time}" if time else what
