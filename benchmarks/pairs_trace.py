"""Whether a recommended plan is over its card's memory by the trace: `python -m benchmarks.pairs_trace [--goals]`.

The 30 pairs of card and model of `benchmarks.pairs`, the balanced plan of each; with --goals the plans for all five
goals. A plan that is said to fit is traced: one step of the real model class on fake tensors, which shares no
arithmetic with the formula that recommended it. Exit 1 when the trace needs more than is free. Some ten seconds a plan.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product

from benchmarks.pairs import CARDS, MODELS
from presets.errors import WizardError
from recommender.config.edit import with_values
from recommender.data.profile.synthetic import synthetic_profile
from recommender.machine.devices import device_from_catalogue
from recommender.model.reader import read_model
from recommender.plan.recommend import recommend
from recommender.plan.request import GOALS
from recommender.plan.types import Plan
from recommender.units import gib
from trainer.trace.ask import trace


def plans(*, all_goals: bool) -> Iterator[tuple[str, Plan]]:
    """Every pair with its plans; a plan that another goal has as well comes once."""
    data = synthetic_profile(50_000, 200)
    for card, name in product(CARDS, MODELS):
        model, device = read_model(name, offline=True), device_from_catalogue(card)
        seen = []
        for goal in GOALS if all_goals else GOALS[:1]:
            plan = recommend(model, device, data, goal=goal)
            if plan.config not in seen:
                seen.append(plan.config)
                yield f"{card:16s} {name:24s} {goal:16s}", plan


def main() -> int:
    """Trace them and print a line each."""
    over = traced = refused = 0
    worst = 0.0
    for label, plan in plans(all_goals="--goals" in sys.argv[1:]):
        if plan.estimate.fits != "yes":
            print(f"{label} {plan.estimate.fits}: nothing is recommended", flush=True)
            continue
        # The trace does not follow checkpoints to host memory: without that a plan needs more, which is held instead.
        offloads = plan.config.training.activation_offloading
        config = with_values(plan.config, {"training.activation_offloading": False})
        try:
            found = trace(config, plan.model, plan.device, plan.data)
        except WizardError as problem:
            refused += 1
            print(f"{label} cannot be traced: {problem.message}", flush=True)
            continue
        traced += 1
        formula, exact = plan.estimate.peak.process_bytes, found.peak.process_bytes
        worst = worst if offloads else max(worst, abs(formula / exact - 1))
        too_much = exact > plan.estimate.free_bytes
        over += too_much
        print(
            f"{label} formula {gib(formula):>9s} trace {gib(exact):>9s} ({formula / exact - 1:+.1%}) of "
            f"{gib(plan.estimate.free_bytes)} free{' without its offloading' if offloads else ''}"
            f"{' OVER' if too_much else ''}",
            flush=True,
        )
    print(f"{traced} plans traced, {over} over their card's memory; formula within {worst:.1%} of the trace")
    if refused:
        print(f"{refused} could not be traced, as said above.")
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
