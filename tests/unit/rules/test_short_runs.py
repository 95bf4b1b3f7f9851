"""The program that measures short runs: its best rates, its slope, and what it refuses. It trains nothing here."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import exp, log
from pathlib import Path

import pytest

from benchmarks.short_runs import (
    RATES,
    Run,
    curves,
    fit,
    load,
    loss_at,
    lowest,
    mean_regret,
    refuse_judges,
    regret,
    rule,
)
from presets.errors import InputError


def valley(lowest: float, steepness: float = 0.1) -> dict[float, float]:
    return {rate: 1 + steepness * log(rate / lowest) ** 2 for rate in RATES}


@pytest.mark.parametrize("best", [8e-4, 1.5e-3, 2.4e-3])
def test_the_best_rate_is_the_lowest_point_between_the_trained_ones(best: float) -> None:
    found = lowest(valley(best))
    assert found is not None
    assert (exp(found[0]), found[1]) == pytest.approx((best, 1.0))
    assert loss_at(valley(best), 1.1e-3) == pytest.approx(1 + 0.1 * log(1.1e-3 / best) ** 2)


@pytest.mark.parametrize("best", [1e-1, 1e-6])
def test_a_curve_that_falls_to_the_edge_has_no_lowest_point(best: float) -> None:
    assert lowest(valley(best)) is None
    assert regret(valley(best), 1e-3) > 0


@pytest.mark.slow
def test_the_exponent_is_the_one_that_made_the_curves() -> None:
    made = {(data, steps): valley(rule(steps, 0.3)) for data in "ab" for steps in (24, 48)}
    assert fit(made) == pytest.approx(0.3, abs=0.011)
    assert mean_regret(made, 0.3) < mean_regret(made, 0.1)


def test_a_length_of_one_rate_does_not_count_and_a_torn_line_does_not(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    whole = [Run("a", 12, rate, loss, 2.0) for rate, loss in valley(2e-3).items()]
    lines = [json.dumps(asdict(run)) for run in [*whole, Run("a", 24, 1e-3, 1.5, 2.0)]]
    file.write_text("\n".join(lines) + '\n{"data": "a"', encoding="utf-8")
    assert curves(load(file)) == {("a", 12): dict(sorted(valley(2e-3).items()))}


def test_the_contests_rows_are_refused() -> None:
    with pytest.raises(InputError, match="one of the contest's data sets"):
        refuse_judges(Path("data/alpaca_en_demo.json"))
    refuse_judges(Path("data/alpaca_zh_demo.json"))
