"""Confidence intervals of shares and quantiles from a random sample of rows.

Shares: Clopper and Pearson (1934), the exact binomial interval. Quantiles: the order statistics between which the
quantile lies with the same confidence, by the binomial distribution of how many drawn rows lie below it (Conover,
Practical Nonparametric Statistics, section 3.2). Rows are drawn without replacement, which only makes both safer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, exp, lgamma, log, log1p, sqrt
from typing import NamedTuple

CONFIDENCE = 0.95
_NORMAL = 1.959964
"""Of a normal distribution, 95 % lie within so many standard deviations."""
_STEPS = 60
_TINY = 1e-300


class Interval(NamedTuple):
    """An estimate and the ends between which the truth lies with 95 % confidence."""

    value: float
    low: float
    high: float | None
    """None where so few rows say nothing about the upper end."""


def share(hits: int, drawn: int) -> Interval:
    """Interval of the share with a property among all rows, from `hits` of `drawn`."""
    tail = (1 - CONFIDENCE) / 2
    low = _solved(lambda p: incomplete_beta(hits, drawn - hits + 1, p) - tail) if hits else 0.0
    high = _solved(lambda p: incomplete_beta(hits + 1, drawn - hits, p) - (1 - tail)) if hits < drawn else 1.0
    return Interval(hits / drawn, low, high)


def quantile(values: Sequence[int], q: float) -> Interval:
    """Interval of a quantile of all rows, from drawn values in ascending order."""
    drawn = len(values)
    tail = (1 - CONFIDENCE) / 2
    below = first(drawn, lambda rank: binomial_cdf(rank - 1, drawn, q) > tail) - 1
    above = first(drawn + 1, lambda rank: 1 - binomial_cdf(rank - 1, drawn, q) <= tail)
    value = values[min(drawn, max(1, ceil(round(q * drawn, 6)))) - 1]
    return Interval(value, values[below - 1] if below else 0, values[above - 1] if above <= drawn else None)


def ratio(parts: Sequence[int], wholes: Sequence[int]) -> Interval:
    """Interval of the ratio of sums: the ratio estimator with its linearised variance (Cochran, chapter 6)."""
    total, drawn = sum(wholes), len(wholes)
    if not total:
        return Interval(0.0, 0.0, 1.0)
    value = sum(parts) / total
    squares = sum((part - value * whole) ** 2 for part, whole in zip(parts, wholes, strict=True))
    spread = _NORMAL * sqrt(squares * drawn / max(1, drawn - 1)) / total
    return Interval(value, max(0.0, value - spread), min(1.0, value + spread))


def mean(values: Sequence[float]) -> Interval:
    """Interval of the mean of all values, by the normal approximation."""
    drawn = len(values)
    value = sum(values) / drawn
    spread = _NORMAL * sqrt(sum((each - value) ** 2 for each in values) / max(1, drawn - 1) / drawn)
    return Interval(value, max(0.0, value - spread), value + spread)


def binomial_cdf(hits: int, drawn: int, p: float) -> float:
    """The binomial distribution function: probability of at most so many hits."""
    if hits < 0:
        return 0.0
    return 1.0 if hits >= drawn else incomplete_beta(drawn - hits, hits + 1, 1 - p)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz; DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d or _TINY)
    product = d
    for m in range(1, 500):
        for top in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + top * d) or _TINY)
            c = (1 + top / c) or _TINY
            product *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return front * product


def _solved(rising: Callable[[float], float]) -> float:
    """The zero of a rising function on 0 to 1, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def first(last: int, holds: Callable[[int], bool]) -> int:
    """The first rank from 1 to `last` for which a monotone condition holds; `last + 1` when none."""
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
