"""The order of micro-batch lengths, on which the allocator's cache of a mixed run depends.

A block of logits serves every later micro-batch that is no longer. One that is longer than all before it takes blocks
of its own, and those before stay behind. So beside the longest micro-batch's blocks lie those of every earlier record.
In random order the k-th longest of n is a record with probability 1/k, independently of the others (Rényi 1962), so
that the records before the longest add up to sum(x_k / k) for k from 2, of variance sum(x_k² / k · (1 - 1/k)), with
x_k the k-th length. Micro-batches that the limit cuts to one length are one: the sums begin behind them.
"""

from __future__ import annotations

from math import log, sqrt
from typing import NamedTuple

from recommender.data.profile.profile import DataProfile

STEPS = 16
"""Lengths, evenly between nothing and the longest, at which the tail is taken."""
FROM_SECOND = 1.526
"""exp(1 - Euler's constant): sum(1 / k) for k from 2 to n is log(n / 1.526)."""


class Outgrown(NamedTuple):
    """Records before the longest micro-batch: their sum, in lengths of the longest."""

    mean: float
    deviation: float
    """Standard deviation over orders of the rows."""


NOTHING = Outgrown(0.0, 0.0)


def outgrown(data: DataProfile | None, length: int, rows: int, batches: float, alike: int) -> Outgrown:
    """The earlier records of one pass over the rows.

    sum(x_k / k) is the integral of log(U(t) / u) over t from 0 to 1, with U(t) the share of micro-batches longer than
    t times the longest and u the share that are as long as it, or 1.526 / n where only one is; that of x_k² / k has 2t
    beside it.

    Args:
        data: Lengths of the rows; None where all have one length.
        length: Tokens of the longest, cut as it is.
        rows: Of a micro-batch, which is as long as its longest.
        batches: Micro-batches at most.
        alike: Tokens by which lengths differ without needing other blocks.
    """
    if data is None or not data.rows:
        return NOTHING
    asked = "outgrown", length, rows, batches, alike
    if asked not in data.known:
        data.known[asked] = _outgrown(data, length, rows, min(batches, data.rows / rows), alike)
    found: Outgrown = data.known[asked]
    return found


def _outgrown(data: DataProfile, length: int, rows: int, batches: float, alike: int) -> Outgrown:
    def longer(limit: int) -> float:
        return 1.0 - float(1 - data.rows_cut(limit) / data.rows) ** rows

    least = max(longer(length - alike), FROM_SECOND / max(1.0, batches))
    mean = square = 0.0
    for step in range(STEPS):
        middle = (step + 0.5) / STEPS
        share = longer(int(middle * length))
        if share > least:
            mean += log(share / least)
            square += 2 * middle * log(share / least)
    return Outgrown(mean / STEPS, sqrt(square / STEPS))
