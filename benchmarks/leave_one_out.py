"""Process memory and tokens/s of models that the fit has not seen: `python -m benchmarks.leave_one_out [--rows]`.

What is fitted (the allocator's residue, the interval, the efficiencies of time) is fitted again for every model of the
reference rows without its rows, and then asked about them. Exit 1 when a limit is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import fit_memory, fit_time
from benchmarks.reference_rows import GIB, Row, load_rows
from recommender.memory.fitted import SPREAD, Spread

INTERVALS = {"t4": SPREAD["turing"], "a100": SPREAD["ampere"]}
SMALLER = 0.95
"""A card with this share of the memory that was measured must not be answered with 'yes'."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure beside its limit."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def held(self) -> bool:
        """Whether the limit holds."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self) -> str:
        """As printed."""
        sign = "≥" if self.at_least else "≤"
        return f"{self.what:62s} {self.value:7.2%}  {sign} {self.limit:4.0%}  {'ok' if self.held else 'MISSED'}"


def group(name: str, rows: Sequence[Row]) -> list[Row]:
    """Rows of one card."""
    return [row for row in rows if row.group == name]


def memory_figures(name: str, ratios: Sequence[float], mean: float, worst: float) -> list[Figure]:
    """Process memory: error, coverage of the interval and its upper end.

    Args:
        name: Of the card.
        ratios: Truth over estimate of each row.
        mean: Limit of the mean error.
        worst: Limit of the largest.
    """
    spread = INTERVALS[name]
    errors = [abs(1 / ratio - 1) for ratio in ratios]
    return [
        Figure(f"process memory, {name}: mean error of {len(errors)} rows", sum(errors) / len(errors), mean),
        Figure(f"process memory, {name}: worst error", max(errors), worst),
        Figure(f"process memory, {name}: truth inside the interval", covered(ratios, spread), 0.9, at_least=True),
        Figure(f"process memory, {name}: upper end above the estimate", spread.high - 1, 0.08),
    ]


def covered(ratios: Sequence[float], spread: Spread) -> float:
    """Share of rows whose truth lies inside the interval."""
    return sum(spread.low <= ratio <= spread.high for ratio in ratios) / len(ratios)


def wrong_yes(ratios: Sequence[float], high: float) -> float:
    """Share of rows that are called 'yes' with 5 % less free memory than they were measured to take."""
    return sum(high <= SMALLER * ratio for ratio in ratios) / len(ratios)


def speed_figures(name: str, ratios: Sequence[float]) -> list[Figure]:
    """Tokens/s: relative error of the prediction, whose ratio to the truth is that of true seconds to predicted."""
    errors = [abs(ratio - 1) for ratio in ratios]
    return [
        Figure(f"tokens/s, {name}: median error of {len(errors)} rows", fit_memory.quantile(errors, 0.5), 0.15),
        Figure(f"tokens/s, {name}: 90th percentile", fit_memory.quantile(errors, 0.9), 0.35),
    ]


def figures(rows: Sequence[Row], show: Callable[[str], None] = lambda _: None) -> list[Figure]:
    """Every figure, in the order in which it is printed.

    Args:
        rows: The reference rows.
        show: Told each row's outcome.
    """
    scored = [row for row in rows if row.scored]
    found: list[Figure] = []
    for name, mean, worst in (("t4", 0.04, 0.12), ("a100", 0.08, 0.20)):
        answers = fit_memory.left_out(group(name, scored))
        for row, ratio in answers:
            show(f"{row.label:68s} process {row.process / GIB:6.2f} GiB  {1 / ratio - 1:+6.1%}")
        found += memory_figures(name, [ratio for _, ratio in answers], mean, worst)
        if name == "t4":
            share = wrong_yes([ratio for _, ratio in answers], INTERVALS[name].high)
            found.append(Figure("process memory, t4: 'yes' with 5 % less than was measured", share, 0.0))
    for name in ("t4", "a100"):
        answers = fit_time.left_out(group(name, rows))
        for row, ratio in answers:
            tokens = row.config.training.per_device_train_batch_size * row.config.data.max_length
            show(f"{row.label:68s} {tokens / row.seconds:7.0f} tokens/s  {ratio - 1:+6.1%}")
        found += speed_figures(name, [ratio for _, ratio in answers])
    return found


def main() -> int:
    """Print the table; 1 when a limit is missed."""
    found = figures(load_rows(), print if "--rows" in sys.argv else lambda _: None)
    for figure in found:
        print(figure.line())
    return int(not all(figure.held for figure in found))


if __name__ == "__main__":
    sys.exit(main())
