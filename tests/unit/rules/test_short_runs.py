"""The program that measures short runs: its best rates, its slope, and what it refuses. It trains nothing here."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import log
from pathlib import Path

import pytest

from benchmarks.short_runs import RATES, Run, best_rate, curves, load, refuse_judges, slope
from presets.errors import InputError


def valley(lowest: float, steepness: float = 0.1) -> dict[float, float]:
    return {rate: 1 + steepness * log(rate / lowest) ** 2 for rate in RATES}


@pytest.mark.parametrize("lowest", [8e-4, 1.5e-3, 2.4e-3])
def test_the_best_rate_is_the_lowest_point_between_the_trained_ones(lowest: float) -> None:
    assert best_rate(valley(lowest)) == pytest.approx(lowest)


def test_a_curve_that_falls_to_the_edge_gives_the_edge() -> None:
    assert best_rate(valley(1e-1)) == max(RATES)
    assert best_rate(valley(1e-6)) == min(RATES)


def test_the_slope_is_common_and_the_levels_are_not() -> None:
    best = {("a", n): 1e-2 * n**-0.3 for n in (12, 24, 48)} | {("b", n): 5e-2 * n**-0.3 for n in (24, 48)}
    assert slope(best) == pytest.approx(-0.3)
    assert slope({("a", 12): 1e-3, ("b", 24): 1e-4}) is None


def test_only_whole_curves_count_and_a_torn_line_does_not(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    whole = [Run("a", 12, rate, loss, 2.0) for rate, loss in valley(2e-3).items()]
    lines = [json.dumps(asdict(run)) for run in [*whole, Run("a", 24, 1e-3, 1.5, 2.0)]]
    file.write_text("\n".join(lines) + '\n{"data": "a"', encoding="utf-8")
    assert curves(load(file)) == {("a", 12): dict(sorted(valley(2e-3).items()))}


def test_the_contests_rows_are_refused() -> None:
    with pytest.raises(InputError, match="one of the contest's data sets"):
        refuse_judges(Path("data/alpaca_en_demo.json"))
    refuse_judges(Path("data/alpaca_zh_demo.json"))
