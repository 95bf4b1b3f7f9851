"""Fit what cannot be derived (allocator's residue, interval) to the reference rows: `python benchmarks/fit_memory.py`.

Prints the constants of recommender/memory/fitted.py. Every error is of a row whose model was left out of the fit.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from benchmarks.reference_rows import GIB, Row, load_rows
from recommender.memory.layers.layer import layer_cost
from recommender.memory.price import pools, price
from recommender.memory.process import residue, residue_kind


def pool(row: Row) -> float:
    """Bytes of the pool that is not wholly reused."""
    case = row.case()
    alike, varied = residue(pools(case, layer_cost(case)))
    return alike if case.alike else varied


def fixed(row: Row) -> float:
    """Predicted process memory without the allocator's residue."""
    answer = price(row.case())
    return answer.process - answer.parts["allocator"]


def kind(row: Row) -> str:
    """The key of the fitted share that applies."""
    case = row.case()
    return residue_kind(case) if case.alike else "varied"


def fit_share(rows: Sequence[Row]) -> float:
    """The share with the least sum of absolute relative errors of process memory: a weighted median."""
    return weighted_median([((row.process - fixed(row)) / pool(row), pool(row) / row.process) for row in rows])


def weighted_median(pairs: Sequence[tuple[float, float]]) -> float:
    """The value at half of all weight, of (value, weight)."""
    half, so_far = sum(weight for _, weight in pairs) / 2, 0.0
    for value, weight in sorted(pairs):
        so_far += weight
        if so_far >= half:
            return value
    raise ValueError("nothing to fit")


def fit(rows: Sequence[Row]) -> Mapping[str, float]:
    """The residue's share by kind."""
    return {name: fit_share([row for row in rows if kind(row) == name]) for name in {kind(row) for row in rows}}


def predicted(row: Row, shares: Mapping[str, float]) -> float:
    """Process memory with a fitted share."""
    return fixed(row) + shares[kind(row)] * pool(row)


def left_out(rows: Sequence[Row]) -> list[tuple[Row, float]]:
    """Each row with its truth over its estimate, fitted without its model."""
    answers = []
    for name in sorted({row.model.name for row in rows}):
        shares = fit([row for row in rows if row.model.name != name])
        answers += [(row, row.process / predicted(row, shares)) for row in rows if row.model.name == name]
    return answers


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between the nearest ranks."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def main() -> None:
    """Fit both groups and print."""
    for group in ("t4", "a100"):
        rows = [row for row in load_rows() if row.scored and row.group == group]
        shares = fit(rows)
        ratios = left_out(rows)
        errors = [abs(1 / ratio - 1) for _, ratio in ratios]
        low, high = (quantile([ratio for _, ratio in ratios], q) for q in (0.05, 0.95))
        print(group, {name: round(share, 3) for name, share in shares.items()})
        print(
            f"  left out: MAPE {sum(errors) / len(errors):.2%} worst {max(errors):.2%}; spread {low:.3f} to {high:.3f}"
        )
        if "--rows" in sys.argv:
            for row, ratio in ratios:
                print(f"    {row.label:68s} {row.process / GIB:7.2f} {1 / ratio - 1:+6.1%}")


if __name__ == "__main__":
    main()
