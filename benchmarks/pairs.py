"""Whether a better plan was left unused: `python -m benchmarks.pairs`, 30 pairs of card and model of the catalogues.

For each pair and goal every split, checkpointing, optimizer and offloading is priced at the recommended length and
rank, for 16-bit LoRA, 8 bits and NF4. Those that fit and obey the rules are compared with the plan by time a row:
within 70 % of free memory where the goal asks for room and the plan has it, however the base is held; for quality the
base rounded no more than it must be. Exit 1 when a plan does not fit its card although another would, when one is left
unused that is more than 5 % faster, or one that is better in memory, time and quality at once.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig, Goal
from recommender.data.profile.synthetic import synthetic_profile
from recommender.estimate.pricer import pricer
from recommender.machine.devices import device_from_catalogue
from recommender.model.reader import read_model
from recommender.plan.recommend import recommend
from recommender.plan.search import (
    ACCUMULATION,
    CHECKPOINTING,
    EIGHT_BITS,
    FOUR_BITS,
    MICRO,
    OFFLOADING,
    OPTIM,
    SIXTEEN_BITS,
    Candidate,
)
from recommender.plan.types import Plan
from recommender.rules.base import room_share

CARDS = (
    "T4",
    "RTX 3060 12GB",
    "RTX 3090",
    "RTX 4060 Laptop",
    "RTX 4090",
    "RTX 5090",
    "L4",
    "A100 80GB",
    "H100",
    "V100 SXM2 16GB",
)
MODELS = ("smollm2-1.7b-instruct", "llama-3.1-8b-instruct", "qwen2.5-32b-instruct")
GOALS: tuple[Goal, ...] = ("balanced", "fastest", "longest-context", "best-quality")
NEAR = 1.05
CLEARLY = 0.99


def every(plan: Plan) -> Iterator[Candidate]:
    """All candidates at the plan's length and rank."""
    price = pricer(plan.model, plan.device, plan.data)
    rows = plan.config.training.effective_batch_size
    splits = [micro for micro in (1, 2, 4, 8, 16, 32) if rows % micro == 0]
    savers = (("adamw_torch_fused", False), ("paged_adamw_8bit", False), ("paged_adamw_8bit", True))
    for base, micro, checkpointing, (optim, offloading) in itertools.product(
        (SIXTEEN_BITS, EIGHT_BITS, FOUR_BITS), splits, (True, False), savers
    ):
        if offloading and not checkpointing:
            continue
        changes = {MICRO: micro, ACCUMULATION: rows // micro, CHECKPOINTING: checkpointing}
        config = with_values(plan.config, {**base, **changes, OPTIM: optim, OFFLOADING: offloading})
        yield Candidate(config, price(config))


def obeys(one: Candidate, plan: Plan) -> bool:
    """Whether the rules allow it for the plan's goal."""
    if plan.goal == "fastest":
        return one.within(1)
    share = room_share(plan.goal, plan.device)
    sixteen = one.config.method == "lora" and plan.goal != "best-quality"
    rounded = one.config.quantization.bits == plan.config.quantization.bits
    return one.within(share if sixteen or Candidate(plan.config, plan.estimate).within(share) else 1) and (
        rounded or sixteen
    )


def quality(config: FinetuneConfig) -> tuple[int, bool, bool]:
    """Numerical quality for comparison: bits of the base, full optimizer states, nothing offloaded."""
    training = config.training
    return config.quantization.bits or 16, not training.optim.endswith("8bit"), not training.activation_offloading


def dominates(other: Candidate, ours: Candidate) -> bool:
    """Whether another plan that fits is at least as good in memory, time and quality, and clearly better in one."""
    finer = quality(other.config) != quality(ours.config)
    if other.estimate.fits != "yes" or other.memory > ours.memory or other.cost > ours.cost:
        return False
    if any(theirs < own for theirs, own in zip(quality(other.config), quality(ours.config), strict=True)):
        return False
    return finer or other.memory < CLEARLY * ours.memory or other.cost < CLEARLY * ours.cost


def main() -> int:
    """Check all pairs and print what is wrong."""
    data = synthetic_profile(50_000, 200)
    wrong = plans = fitting = 0
    for card, name, goal in itertools.product(CARDS, MODELS, GOALS):
        plan = recommend(read_model(name, offline=True), device_from_catalogue(card), data, goal=goal)
        everything = list(every(plan))
        candidates = [one for one in everything if obeys(one, plan)]
        plans += 1
        ours = Candidate(plan.config, plan.estimate)
        if plan.estimate.fits != "yes":
            wrong += bool(candidates)
            print(f"{card}, {name}, {goal}: {plan.estimate.fits}; {len(candidates)} candidates would fit")
            continue
        fitting += 1
        if better := [one for one in everything if dominates(one, ours)]:
            wrong += 1
            print(f"{card}, {name}, {goal}: worse in all than {better[0].config.method}, {better[0].config.training}")
        fastest = min(candidates, key=lambda one: one.cost)
        if ours.cost > NEAR * fastest.cost:
            wrong += 1
            print(f"{card}, {name}, {goal}: {ours.cost / fastest.cost - 1:.1%} slower than {fastest.config.training}")
    print(f"{plans} plans, {fitting} fit; {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
