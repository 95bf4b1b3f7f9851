"""Profile for data that is not available: so many rows of so many tokens on average."""

from __future__ import annotations

from math import exp, log, sqrt
from statistics import NormalDist

from presets.errors import InputError
from recommender.data.profile.profile import DataProfile
from recommender.data.profile.tally import Runs, WholeRows

STEPS = 2048
"""Distinct quantiles that stand for the rows: p99 and the total are right to a token, the tail to a quantile step."""


def sigma_for_tail(ratio: float = 4.0, share: float = 0.99) -> float:
    """Sigma of the lognormal whose quantile at `share` is `ratio` times its mean.

    The mean is exp(mu + sigma²/2) and the quantile exp(mu + z·sigma), so sigma² - 2·z·sigma + 2·ln(ratio) = 0. Of its
    two roots the smaller is meant: 0.70 for a p99 of four times the mean (median 0.78 of the mean). The other, 3.95,
    would put the median at a 2 400th of the mean.
    """
    z = NormalDist().inv_cdf(share)
    return z - sqrt(z * z - 2 * log(ratio))


def synthetic_profile(rows: int, mean_tokens: float) -> DataProfile:
    """Rows with lognormal lengths, mean `mean_tokens` and 99th percentile at four times that, all trained.

    The lengths are quantiles at equal steps, so the same question has the same answer; their sum is
    round(rows × mean_tokens) exactly.

    Raises:
        InputError: No row, or less than one token a row.
    """
    if rows < 1:
        raise InputError(f"{rows} rows: a data set needs at least one row.", remedy="Give --rows 1 or more.")
    if not 1 <= mean_tokens <= 100_000_000:
        raise InputError(f"A row cannot have {mean_tokens:g} tokens.", remedy="Give --tokens from 1 upwards.")
    lengths = _lengths(rows, mean_tokens)
    return DataProfile(
        files=(),
        shape="synthetic",
        shape_reason=(
            f"{rows} rows of {mean_tokens:g} tokens on average, as given; lengths taken as lognormal with the 99th "
            "percentile at four times the mean, every token trained"
        ),
        columns={},
        lengths=lengths,
        spans=WholeRows(lengths),
        span_start=range(rows + 1),
        tokenizer="assumed",
        template="none",
    )


def _lengths(rows: int, mean_tokens: float) -> Runs:
    sigma = sigma_for_tail()
    normal = NormalDist(log(mean_tokens) - sigma * sigma / 2, sigma)
    steps = min(rows, STEPS)
    values = [max(1, round(exp(normal.inv_cdf((step + 0.5) / steps)))) for step in range(steps)]
    counts = [(step + 1) * rows // steps - step * rows // steps for step in range(steps)]
    return _with_total(values, counts, round(rows * mean_tokens))


def _with_total(values: list[int], counts: list[int], total: int) -> Runs:
    """Stretch the lengths by one factor, then give the rest, less than a token a row, to single rows."""
    for _ in range(3):
        factor = total / sum(value * count for value, count in zip(values, counts, strict=True))
        values = [max(1, round(value * factor)) for value in values]
    rest = total - sum(value * count for value, count in zip(values, counts, strict=True))
    sign = 1 if rest > 0 else -1
    runs: list[tuple[int, int]] = []
    for value, count in zip(values, counts, strict=True):
        moved = min(count, abs(rest)) if value + sign >= 1 else 0
        rest -= sign * moved
        runs += [(value + sign, moved)] if moved else []
        runs += [(value, count - moved)] if count > moved else []
    return Runs([value for value, _ in runs], [count for _, count in runs])
