"""The search for the best method, split, checkpointing, length and optimizer states on this device.

The space is walked with the estimator and pruned by what is monotonic: a larger micro-batch never needs less memory,
a shorter length never more. What the person set stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig, Goal
from recommender.data.profile.profile import DataProfile
from recommender.estimate.pricer import Pricer
from recommender.estimate.types import Estimate
from recommender.machine.capability import LLM_INT8_FROM
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.plan.checks.conflicts import FROM_PLAIN_WEIGHTS
from recommender.rules.base import room_share
from recommender.rules.batch import NEAR, accumulation_for, micro_batches
from recommender.rules.length import MULTIPLE, recommended_length

SEARCHED = (
    "method",
    "quantization.bits",
    "data.max_length",
    "training.per_device_train_batch_size",
    "training.gradient_checkpointing",
    "training.activation_offloading",
    "training.optim",
)
"""Keys decided by the search; every other key is decided by a rule."""
SHORTEST = 256
"""Length below which cutting rows is no remedy any more."""

MICRO = "training.per_device_train_batch_size"
ACCUMULATION = "training.gradient_accumulation_steps"
CHECKPOINTING = "training.gradient_checkpointing"
OFFLOADING = "training.activation_offloading"
OPTIM = "training.optim"
LENGTH = "data.max_length"
RANK = "lora.r"
"""Key of the rank, which a rule decides and the search lowers before it cuts rows."""
LOWEST_RANK = 8

SIXTEEN_BITS: Mapping[str, Any] = {"method": "lora", "quantization.bits": None}
EIGHT_BITS: Mapping[str, Any] = {"method": "qlora", "quantization.bits": 8}
FOUR_BITS: Mapping[str, Any] = {"method": "qlora", "quantization.bits": 4}
EQUAL = 1.01
"""Ratio of times below which an estimate cannot tell them apart."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration with its price."""

    config: FinetuneConfig
    estimate: Estimate

    @property
    def memory(self) -> int:
        """Bytes of the process at the peak."""
        return self.estimate.peak.process_bytes

    @property
    def cost(self) -> float:
        """Time of a row: seconds where the device's speed is known, else in units that only compare.

        Of the whole run where its rows are known: evaluations take their time too, and more of it in 4 bits.
        """
        rows, time = self.config.training.effective_batch_size, self.estimate.time
        if time is None:
            return relative_cost(self.config)
        if time.total_seconds is not None and time.steps:
            return time.total_seconds / (time.steps * rows)
        return time.step_seconds / rows

    def within(self, share: float) -> bool:
        """Whether it fits and its upper estimate takes at most this share of free memory."""
        return self.estimate.fits == "yes" and self.estimate.peak.most_bytes <= share * self.estimate.free_bytes


def relative_cost(config: FinetuneConfig) -> float:
    """Time of a row in units that only compare, for a device of unknown speed.

    Recomputation adds a forward pass to the three of a step, NF4 about 40 % (README of the reference measurements),
    and each micro-batch has a fixed part that about 256 tokens would fill.
    """
    training = config.training
    tokens = training.per_device_train_batch_size * config.data.max_length
    return (
        (4 if training.gradient_checkpointing else 3)
        * (1.4 if config.quantization.bits else 1.0)
        * (1.2 if training.activation_offloading else 1.0)
        * (1 + 256 / tokens)
    )


@dataclass(frozen=True, slots=True)
class Space:
    """Search space: the request's fixed values and the candidates of each searched key."""

    model: ModelSpec
    device: Device
    data: DataProfile | None
    goal: Goal
    base: FinetuneConfig
    """Configuration with all values that are not searched."""
    fixed: Mapping[str, Any]
    """Dotted keys that the person, or the adapter that training starts from, has set."""
    price: Pricer
    effective: int
    """Rows of an optimizer step on one card."""

    def candidate(self, changes: Mapping[str, Any]) -> Candidate:
        """Price the base with these values, except those that the person set."""
        config = with_values(self.base, {key: value for key, value in changes.items() if key not in self.fixed})
        return Candidate(config, self.price(config))

    def splits(self) -> list[dict[str, int]]:
        """Ways to split the effective batch, smallest micro-batch first."""
        if MICRO in self.fixed or ACCUMULATION in self.fixed:
            training = self.base.training
            if MICRO in self.fixed:
                micro = training.per_device_train_batch_size
            else:
                micro = max(1, round(self.effective / training.gradient_accumulation_steps))
            return [{MICRO: micro, ACCUMULATION: accumulation_for(self.effective, micro)}]
        return [{MICRO: micro, ACCUMULATION: self.effective // micro} for micro in micro_batches(self.effective)]

    def bases(self) -> tuple[Mapping[str, Any], ...]:
        """Precisions of the base in order of preference: 16 bits, then 4; 8 in between where quality comes first.

        Empty changes where the person said it.
        """
        if "method" in self.fixed or "quantization.bits" in self.fixed:
            return ({},)
        if self.model.held_packed or self.base.lora.init_lora_weights == "loftq":
            return (FOUR_BITS,)
        if self.base.lora.init_lora_weights in FROM_PLAIN_WEIGHTS:
            return (SIXTEEN_BITS,)
        eight = self.goal == "best-quality" and (self.device.compute_capability or (0, 0)) >= LLM_INT8_FROM
        return (SIXTEEN_BITS, EIGHT_BITS, FOUR_BITS) if eight else (SIXTEEN_BITS, FOUR_BITS)

    def savers(self) -> Iterator[dict[str, Any]]:
        """Yield settings that save memory at the same length, cheapest first."""
        yield {OPTIM: "adamw_torch_fused", OFFLOADING: False}
        if self.device.kind == "cuda":
            yield {OPTIM: "paged_adamw_8bit", OFFLOADING: False}
            if not self.device.unified_memory:
                yield {OPTIM: "paged_adamw_8bit", OFFLOADING: True, CHECKPOINTING: True}

    def lower_ranks(self) -> Iterator[dict[str, Any]]:
        """Yield lower ranks, halved each time, down to 8."""
        rank = self.base.lora.r
        while RANK not in self.fixed and self.base.method != "full" and rank > LOWEST_RANK:
            rank = max(LOWEST_RANK, rank // 2)
            yield {RANK: rank}


def feasible(space: Space, changes: Mapping[str, Any], *, share: float = 1.0) -> list[Candidate]:
    """Return the candidates that fit, over all splits and checkpointing choices.

    Args:
        space: What may vary.
        changes: Method, length, optimizer states: the same for all.
        share: Of free memory that the upper estimate may take.
    """
    found = []
    choices = (changes[CHECKPOINTING],) if CHECKPOINTING in changes else (True, False)
    for checkpointing in choices:
        for split in space.splits():
            one = space.candidate({**changes, **split, CHECKPOINTING: checkpointing})
            if not one.within(share):
                break
            found.append(one)
        if CHECKPOINTING in space.fixed:
            break
    return found


def smallest_near_fastest(found: list[Candidate]) -> Candidate:
    """The smallest micro-batch within 5 % of the fastest; of equal ones the one that needs least memory.

    Where another is at least as fast with less memory, that one: a larger micro-batch with checkpointing may be.
    """
    fastest = min(one.cost for one in found)
    near = [one for one in found if one.cost <= NEAR * fastest]
    chosen = min(near, key=lambda one: (one.config.training.per_device_train_batch_size, one.memory))
    return min((one for one in near if one.cost <= chosen.cost), key=lambda one: one.memory)


def best_saver(space: Space, changes: Mapping[str, Any], *, share: float = 1.0) -> Candidate | None:
    """The best candidate over all ways to need less memory; None where nothing fits.

    A saver is taken only where the fastest candidate with it is more than 5 % faster than without: it may be what makes
    room for a larger micro-batch, or for keeping activations.
    """
    found = [feasible(space, {**changes, **saver}, share=share) for saver in space.savers()]
    if not any(found):
        return None
    fastest = min(one.cost for group in found for one in group)
    group = next(group for group in found if any(one.cost <= NEAR * fastest for one in group))
    return smallest_near_fastest(group)


def search(space: Space) -> Candidate:
    """The best candidate for the goal; where nothing fits, the one that comes nearest."""
    wanted = recommended_length(space.data, space.model, space.goal)
    length = {LENGTH: wanted}
    if space.goal == "smallest-memory":
        return _smallest(space, wanted)
    if space.goal == "longest-context":
        return _longest(space, wanted)
    if space.goal == "fastest":
        found = [
            one
            for base in space.bases()
            for saver in space.savers()
            for one in feasible(space, {**length, **base, **saver})
        ]
        if found:
            return _fastest(found)
    elif (roomy := _roomy(space, length)) is not None:
        return roomy
    return _ladder(space, wanted)


def _fastest(found: list[Candidate]) -> Candidate:
    """Return the fastest candidate of the first base and saver that come within 1 % of the overall fastest.

    Args:
        found: What fits, in the order of what they cost: bases and savers.
    """
    fastest = min(one.cost for one in found)
    first = next(one for one in found if one.cost <= EQUAL * fastest)
    return min((one for one in found if held_as(one.config) == held_as(first.config)), key=lambda one: one.cost)


def held_as(config: FinetuneConfig) -> tuple[int | None, str, bool]:
    """Return the bits of the base, the optimizer's name and whether activations are offloaded."""
    return config.quantization.bits, config.training.optim, config.training.activation_offloading


def _roomy(space: Space, length: Mapping[str, Any]) -> Candidate | None:
    """The best plan that leaves room, with the least rounded base that allows for one; None where none does.

    Optimizer states of 8 bits come before a base of 4: they take from no weight.
    """
    share = room_share(space.goal, space.device)
    for base in space.bases():
        in_memory = (saver for saver in space.savers() if not saver.get(OFFLOADING))
        if any(feasible(space, {**length, **base, **saver}, share=share) for saver in in_memory):
            return best_saver(space, {**length, **base}, share=share)
    return None


def _ladder(space: Space, wanted: int) -> Candidate:
    """Add savers, lower the rank, then shorten rows, under the method that needs least memory, until a plan fits."""
    method = space.bases()[-1]
    best = best_saver(space, {LENGTH: wanted, **method})
    if best is not None:
        return _least_rounded(space, {LENGTH: wanted}, best)
    least = {**method, **_all_savers(space)}
    for rank in space.lower_ranks():
        least |= rank
        found = feasible(space, {LENGTH: wanted, **least})
        if found:
            return smallest_near_fastest(found)
    nearest = space.candidate({LENGTH: wanted, **least})
    if LENGTH in space.fixed:
        return nearest
    shorter = longest_that_fits(space, least, SHORTEST, wanted - MULTIPLE)
    if shorter is None:
        return nearest
    found = feasible(space, {LENGTH: shorter, **least})
    return smallest_near_fastest(found) if found else nearest


def _least_rounded(space: Space, length: Mapping[str, Any], rounded: Candidate) -> Candidate:
    """Return a plan over a less rounded base at no more memory and about the same time, else the given one.

    Only where no plan leaves room: one that does needs less memory than any over a less rounded base.
    """
    for base in space.bases()[:-1]:
        found = feasible(space, {**length, **base, **next(space.savers())})
        better = [one for one in found if one.memory <= rounded.memory and one.cost <= NEAR * rounded.cost]
        if better:
            return smallest_near_fastest(better)
    return rounded


def _all_savers(space: Space) -> dict[str, Any]:
    *_, last = space.savers()
    return {**last, **space.splits()[0], CHECKPOINTING: True}


def longest_that_fits(space: Space, changes: Mapping[str, Any], low: int, high: int) -> int | None:
    """The longest multiple of 64 between two lengths that fits with these values, by bisection; None if none does."""
    steps = range(max(1, low // MULTIPLE), high // MULTIPLE + 1)
    first, last = 0, len(steps)
    while first < last:
        middle = (first + last) // 2
        if space.candidate({**changes, LENGTH: steps[middle] * MULTIPLE}).within(1):
            first = middle + 1
        else:
            last = middle
    return steps[first - 1] * MULTIPLE if first else None


def _longest(space: Space, wanted: int) -> Candidate:
    """Return the plan with the longest rows that data, or without it the model, allow, at the cost of any saver."""
    goal = wanted if space.data is not None else space.model.max_position_embeddings // MULTIPLE * MULTIPLE
    method = space.bases()[-1]
    best: tuple[int, dict[str, Any]] | None = None
    stages = [*space.savers()]
    for stage in (*stages, *({**stages[-1], **rank} for rank in space.lower_ranks())):
        changes = {**method, **stage, **space.splits()[0], CHECKPOINTING: True}
        reached = longest_that_fits(space, changes, MULTIPLE, max(MULTIPLE, goal))
        if reached is not None and (best is None or reached > best[0]):
            best = (reached, {**method, **stage})
    if best is None or LENGTH in space.fixed:
        return _ladder(space, wanted)
    length, changes = best
    if (roomy := _roomy(space, {LENGTH: length})) is not None:
        return roomy
    found = best_saver(space, {LENGTH: length, **method})
    if found is not None:
        return _least_rounded(space, {LENGTH: length}, found)
    return smallest_near_fastest(feasible(space, {LENGTH: length, **changes}))


def _smallest(space: Space, wanted: int) -> Candidate:
    """Return the plan of least memory at the wanted length, or at the longest that fits."""
    method = space.bases()[-1]
    ways = [{**method, **savers, **space.splits()[0], CHECKPOINTING: True} for savers in space.savers()]
    least = min(
        (space.candidate({LENGTH: wanted, **way}) for way in ways), key=lambda one: one.estimate.peak.process_bytes
    )
    if least.within(1) or LENGTH in space.fixed:
        return least
    lengths = [(longest_that_fits(space, way, SHORTEST, wanted - MULTIPLE), way) for way in ways]
    shorter, way = max(lengths, key=lambda found: found[0] or 0)
    return space.candidate({LENGTH: shorter, **way}) if shorter else least
