from __future__ import annotations

import tracemalloc
from math import log
from statistics import NormalDist

import pytest

from presets.errors import InputError
from recommender.data.profile.synthetic import sigma_for_tail, synthetic_profile


def test_sigma_solves_the_equation_and_is_the_sane_root() -> None:
    sigma, z = sigma_for_tail(), NormalDist().inv_cdf(0.99)
    assert sigma * sigma - 2 * z * sigma + 2 * log(4) == pytest.approx(0)
    assert 0.70 < sigma < 0.71


@pytest.mark.parametrize(("rows", "mean"), [(50_000, 200), (1, 100), (3, 1), (7, 1.5), (52_002, 250.5), (2047, 33)])
def test_rows_and_total_are_exact(rows: int, mean: float) -> None:
    profile = synthetic_profile(rows, mean)
    assert profile.rows == len(profile.lengths) == rows
    assert profile.total_tokens == sum(profile.lengths) == round(rows * mean)
    assert profile.trained_tokens == profile.total_tokens
    assert len(profile.span_start) == rows + 1
    assert min(profile.lengths) >= 1


def test_the_tail_is_where_the_contract_puts_it() -> None:
    profile = synthetic_profile(50_000, 200)
    assert profile.quantile(0.99) == pytest.approx(800, rel=0.01)
    assert profile.quantile(0.5) == pytest.approx(200 * 0.782, rel=0.01)
    assert profile.trained_at(1024) == profile.tokens_at(1024) < profile.total_tokens


def test_a_hundred_million_rows_cost_nothing() -> None:
    tracemalloc.start()
    try:
        profile = synthetic_profile(100_000_000, 300)
        assert profile.tokens_at(1024) < profile.total_tokens == 30_000_000_000
        # A list of the rows would take 800 MB.
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("rows", "mean"), [(0, 100), (-1, 100), (5, 0), (5, -3), (5, float("nan"))])
def test_what_cannot_be_is_said(rows: int, mean: float) -> None:
    with pytest.raises(InputError):
        synthetic_profile(rows, mean)
