"""Time of `recommend` over the whole space for one GPU, against `benchmarks.pace`.

usage: python -m benchmarks.search_speed

What counts is the processor time that it takes, which other programs on the machine lengthen least; the time by the
clock stands beside it. Facts are loaded before. The space is every combination of method, bits, length (multiples of
64 up to the model's context), split of the batch, checkpointing, optimizer states and offloading, and rank; what is
priced of it is counted. Prints one line for each card and model, and exits 1 when the median time is over the limit or
a space is too small.
"""

from __future__ import annotations

import statistics
import sys
import time
from unittest.mock import patch

from benchmarks.pace import Pace
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.data.profile.synthetic import synthetic_profile
from recommender.estimate.pricer import Pricer, pricer
from recommender.estimate.types import Estimate
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Device
from recommender.model.reader import read_model
from recommender.model.spec import ModelSpec
from recommender.plan.recommend import recommend
from recommender.rules.batch import micro_batches
from recommender.rules.length import MULTIPLE

LIMIT = 8.0
"""Of the median of each card and model, in multiples of `benchmarks.pace`."""
LEAST = 10_000
CASES = (
    ("RTX 4090", "llama-3.1-8b-instruct"),
    ("RTX 3060 12GB", "qwen2.5-7b-instruct"),
    ("T4", "qwen3-8b"),
    ("H200", "llama-3.3-70b-instruct"),
    ("RTX 4090", "llama-3.3-70b-instruct"),
)


def space(model: ModelSpec) -> int:
    """Candidates: 16, 8 or 4 bits, lengths, splits of 16 rows, checkpointing, 3 savers, 6 ranks from 8 to 256."""
    lengths = model.max_position_embeddings // MULTIPLE
    return 3 * lengths * len(micro_batches(16)) * 2 * 3 * 6


class Counter:
    """A pricer that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, model: ModelSpec, device: Device, data: DataProfile | None) -> Pricer:
        """As `recommender.estimate.pricer.pricer`."""
        price = pricer(model, device, data)

        def counted(config: FinetuneConfig) -> Estimate:
            self.asked += 1
            return price(config)

        return counted


def main() -> int:
    """Measure after one round that is counted, print, and say whether the limits hold."""
    data = synthetic_profile(50_000, 200)
    held = True
    print(f"{'card':10s} {'model':24s} {'candidates':>11s} {'asked':>6s} {'median':>8s} {'worst':>8s} {'by clock':>9s}")
    for card, name in CASES:
        model, device = read_model(name, offline=True), device_from_catalogue(card)
        counter = Counter()
        with patch("recommender.plan.request.pricer", counter):
            recommend(model, device, data)
        pace, times, clock = Pace(), [], []
        for _ in range(9):
            pace.sample(3)
            began, at = time.process_time(), time.perf_counter()
            recommend(model, device, data)
            times.append(time.process_time() - began)
            clock.append(time.perf_counter() - at)
        median, worst = statistics.median(times), max(times)
        times_shown = f"{median * 1000:5.0f} ms {worst * 1000:5.0f} ms {statistics.median(clock) * 1000:6.0f} ms"
        print(f"{card:10s} {name:24s} {space(model):11,d} {counter.asked:6d} {times_shown}")
        held &= pace.judge("  median", median, LIMIT) and space(model) >= LEAST
    print("All five goals, alternatives and reasons each time.")
    print(f"Limits: {LIMIT:g} × the reference work in the median, {LEAST:,} candidates.")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
