"""What the lengths of a mixed run leave in the allocator's cache: records of a random order, and a real allocator."""

from __future__ import annotations

import random
from statistics import fmean, pstdev

import pytest

from recommender.data.profile.profile import DataProfile
from recommender.data.profile.tally import WholeRows
from recommender.memory.allocator import CachingAllocator
from recommender.memory.lengths import NOTHING, outgrown

MIB = 2**20


def rows_of(lengths: list[int]) -> DataProfile:
    """A profile of these rows."""
    return DataProfile((), "synthetic", "", {}, lengths, WholeRows(lengths), range(len(lengths) + 1))


def earlier_records(lengths: list[int]) -> float:
    """The records before the longest in the order given, in lengths of the longest."""
    total, longest = 0, 0
    for length in lengths:
        if length > longest:
            total, longest = total + longest, length
    return total / longest


def in_random_orders(lengths: list[int], rows: int = 1, orders: int = 2000) -> list[float]:
    """The same for micro-batches of shuffled rows."""
    pick, found = random.Random(7), []
    for _ in range(orders):
        pick.shuffle(lengths)
        found.append(earlier_records([max(lengths[at : at + rows]) for at in range(0, len(lengths), rows)]))
    return found


@pytest.mark.parametrize("rows", [1, 4])
def test_records_are_as_many_as_in_random_orders(rows: int) -> None:
    lengths = [round(4096 * (row + 1) / 800) for row in range(800)]
    orders = in_random_orders(list(lengths), rows)
    found = outgrown(rows_of(lengths), 4096, rows, float("inf"), 1)
    assert found.mean == pytest.approx(fmean(orders), rel=0.06)
    # Poisson's variance in place of the Bernoullis': a little more.
    assert pstdev(orders) <= found.deviation <= 1.15 * pstdev(orders)


def test_rows_that_the_limit_cuts_are_one_length() -> None:
    """Half of the rows are cut: what is left is records before the first of them, whatever the number of rows."""
    lengths = [100] * 500 + [4000] * 500
    orders = in_random_orders([min(length, 2048) for length in lengths])
    found = outgrown(rows_of(lengths), 2048, 1, float("inf"), 1)
    assert found.mean == pytest.approx(fmean(orders), abs=0.02)
    assert outgrown(rows_of([3000] * 50), 2048, 1, float("inf"), 1) == (0.0, 0.0)
    assert outgrown(None, 2048, 1, float("inf"), 1) == NOTHING


def test_lengths_within_one_segment_step_are_alike() -> None:
    lengths = [4093, 4094, 4095, 4096] * 100
    assert outgrown(rows_of(lengths), 4096, 1, float("inf"), 1).mean > 0.5
    assert outgrown(rows_of(lengths), 4096, 1, float("inf"), 4).mean == 0.0


def test_a_short_run_outgrows_less() -> None:
    data = rows_of([round(4096 * (row + 1) / 800) for row in range(800)])
    means = [outgrown(data, 4096, 1, batches, 1).mean for batches in (1, 10, 100, float("inf"))]
    assert means[0] == 0.0
    assert means == sorted(means)


def test_the_allocator_keeps_the_blocks_of_every_earlier_record() -> None:
    """Three blocks of each length at a time, as the loss takes them: what is left is three of each earlier record."""
    pick = random.Random(11)
    lengths = [pick.randint(256, 2048) for _ in range(200)]
    allocator = CachingAllocator()
    for length in lengths:
        blocks = [allocator.allocate(length * 2 * MIB) for _ in range(3)]
        for block in blocks:
            allocator.release(block)
    longest = 3 * max(lengths) * 2 * MIB
    assert len(lengths) > len(set(lengths)) > 100
    assert allocator.reserved - longest == pytest.approx(earlier_records(lengths) * longest)
