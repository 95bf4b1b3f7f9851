"""Fit the law of the learning rate to the sweep: `python -m benchmarks.rate_fit [--write]`.

Every model and rank has a rate of least loss, read off a parabola in the logarithm of the rate through the best swept
rate and its neighbours. Where the best is at the edge of what was swept, the parabola has the last slope and the
median curvature of the others, and its lowest point counts as far as the edge. The logarithms of these rates are then
explained by ridge regression from log(parameters), log(rank) and the family. A model counts once, and more where its
loss rises steeply beside the best rate, since that is what regret punishes. The families' terms are shrunk (`SHRINK`),
so that a family speaks as loudly as it has models. Prints the law; `--write` puts it into the presets' evidence.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from math import exp, log
from pathlib import Path
from statistics import fmean, median

from presets.rate_law import FILE, REFERENCE_PARAMETERS, REFERENCE_RANK, RateLaw

FOLDER = Path(__file__).parent / "reference"
SHRINK = 0.1
"""A family's term is pulled to zero as by this many models without a term; anything from 0.02 to 0.6 gives the same
regret within 0.01 % by leave-one-model-out."""
STEEPEST = 0.02
"""Relative curvature beyond which a curve counts no more: three points do not tell."""
CANDIDATES = tuple(round(step * 1e-5, 5) for step in range(10, 101))
"""Rates from which the one for families without a law is chosen."""

Curve = Mapping[float, float]
"""Learning rate to mean test loss, nats a token."""


@dataclass(frozen=True, slots=True)
class Swept:
    """One model of the sweep."""

    name: str
    family: str
    parameters: float
    like: str
    """A model of the catalogue whose layers stand in for its own."""
    curves: Mapping[int, Curve]
    """By rank."""

    @property
    def best(self) -> float:
        """The least loss at any rank and rate."""
        return min(min(curve.values()) for curve in self.curves.values())

    def nearest(self, r: int) -> int:
        """The swept rank nearest to r."""
        return min(self.curves, key=lambda rank: abs(rank - r))

    def loss(self, r: int, rate: float) -> float:
        """Loss at the nearest swept rank, linear in log rate between swept rates and beyond the ends."""
        points = sorted(self.curves[self.nearest(r)].items())
        index = next((i for i in range(1, len(points) - 1) if rate <= points[i][0]), len(points) - 1)
        (x0, y0), (x1, y1) = points[index - 1], points[index]
        return y0 + (y1 - y0) * log(rate / x0) / log(x1 / x0)

    def regret(self, r: int, rate: float) -> float:
        """Loss above the sweep's best, as a share; an extended slope below the best counts as none."""
        return max(0.0, self.loss(r, rate) / self.best - 1)

    def outside(self, r: int, rate: float) -> bool:
        """Whether this rate is beyond what was swept."""
        swept = self.curves[self.nearest(r)]
        return not 0.999 * min(swept) <= rate <= 1.001 * max(swept)


@cache
def load() -> tuple[Swept, ...]:
    """The models of the sweep; runs of the same setting are averaged."""
    losses: dict[str, dict[int, dict[float, list[float]]]] = {}
    with (FOLDER / "lr_rank_sweep.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            curve = losses.setdefault(row["model"], {}).setdefault(int(row["lora_rank"]), {})
            curve.setdefault(float(row["learning_rate"]), []).append(float(row["test_nll"]))
    with (FOLDER / "sweep_models.csv").open(newline="") as file:
        return tuple(
            Swept(
                row["model"],
                row["family"],
                float(row["parameters"]),
                row["like"],
                {r: {x: fmean(ys) for x, ys in curve.items()} for r, curve in losses[row["model"]].items()},
            )
            for row in csv.DictReader(file)
        )


def _bracketed(curve: Curve) -> tuple[float, float] | None:
    """Log of the best rate and relative curvature, by a parabola through three points; None at an edge."""
    import numpy

    xs = sorted(curve)
    best = xs.index(min(xs, key=lambda x: curve[x]))
    if not 0 < best < len(xs) - 1:
        return None
    near = xs[best - 1 : best + 2]
    a, b, _ = numpy.polyfit([log(x) for x in near], [curve[x] / curve[xs[best]] for x in near], 2)
    return float(-b / 2 / a), float(a)


@cache
def _curvature() -> float:
    found = (_bracketed(curve) for model in load() for curve in model.curves.values())
    return median(one[1] for one in found if one is not None)


def best_log_rate(curve: Curve) -> tuple[float, float]:
    """Log of the rate of least loss, and its weight."""
    found = _bracketed(curve)
    if found is not None:
        return found[0], min(found[1], STEEPEST) / _curvature()
    edge = min(curve, key=lambda x: curve[x])
    neighbour = min((x for x in curve if x != edge), key=lambda x: abs(log(x / edge)))
    slope = (curve[edge] - curve[neighbour]) / log(edge / neighbour) / curve[edge]
    lowest = (log(edge) + log(neighbour)) / 2 - slope / (2 * _curvature())
    return min(log(edge), lowest), 0.5


def fit(models: Collection[Swept]) -> RateLaw:
    """The law that these models support."""
    import numpy

    families = sorted({model.family for model in models if sum(m.family == model.family for m in models) > 1})
    known = [model for model in models if model.family in families]
    rows, targets, weights = [], [], []
    for model in known:
        for r, curve in model.curves.items():
            size, rank = log(model.parameters / REFERENCE_PARAMETERS), log(r / REFERENCE_RANK)
            rows.append([1.0, size, rank, *(float(model.family == family) for family in families)])
            target, weight = best_log_rate(curve)
            targets.append(target)
            weights.append(weight / len(model.curves))
    a, y, w = numpy.array(rows), numpy.array(targets), numpy.array(weights)
    penalty = numpy.diag([0.0, 0.0, 0.0, *(SHRINK for _ in families)])
    base, size, rank, *terms = numpy.linalg.solve(a.T @ (a * w[:, None]) + penalty, a.T @ (w * y))
    return RateLaw(
        base=float(f"{exp(base):.3g}"),
        size=round(float(size), 3),
        rank=round(float(rank), 3),
        highest=max(min(curve, key=lambda x: curve[x]) for m in models for curve in m.curves.values()),
        uncalibrated=min(CANDIDATES, key=lambda rate: fmean(m.regret(REFERENCE_RANK, rate) for m in models)),
        families={family: round(exp(float(term)), 2) for family, term in zip(families, terms, strict=True)},
        parameters=(min(m.parameters for m in known), max(m.parameters for m in known)),
        ranks=(min(min(m.curves) for m in known), max(max(m.curves) for m in known)),
    )


def text(law: RateLaw) -> str:
    """The YAML file."""
    families = "\n".join(f"    {family}: {factor}" for family, factor in law.families.items())
    return f"""\
# The law of LoRA's learning rate: rate = base × (parameters / 8e9)^size × (r / 64)^rank × the family's factor, at
# lora_alpha 32 with alpha / r scaling. Written by `python -m benchmarks.rate_fit --write` from the public sweep in
# benchmarks/reference (Thinking Machines, tinker-cookbook, Apache-2.0); a test holds it against the fit.
law:
  base: {law.base:.3g}
  size: {law.size}
  rank: {law.rank}
  highest: {law.highest:.1e}  # the highest rate that was best for any swept model and rank
  uncalibrated: {law.uncalibrated:.1e}  # the one rate that loses least over all swept models at rank 64
  parameters: [{law.parameters[0]:.2e}, {law.parameters[1]:.2e}]
  ranks: [{law.ranks[0]}, {law.ranks[1]}]
  families:
{families}
"""


def main() -> int:
    """Print the law, or write it."""
    law = text(fit(load()))
    if "--write" in sys.argv[1:]:
        FILE.write_text(law)
    print(law)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
