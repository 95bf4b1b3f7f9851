"""The simulated allocator: PyTorch's documented sizes, and what must hold for any sequence of requests."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.memory.allocator import (
    LARGE_SEGMENT,
    MIB,
    SMALL_SEGMENT,
    Block,
    CachingAllocator,
    block_size,
)


@pytest.mark.parametrize(
    ("size", "taken"),
    [(1, 2 * MIB), (MIB, 2 * MIB), (MIB + 1, 20 * MIB), (10 * MIB - 512, 20 * MIB), (10 * MIB, 10 * MIB), (
        11 * MIB + 1, 12 * MIB)],
)  # fmt: skip
def test_a_first_request_takes_the_segment_of_its_size(size: int, taken: int) -> None:
    """2 MiB for the small pool, 20 MiB below 10 MiB, else its own size in steps of 2 MiB."""
    allocator = CachingAllocator()
    allocator.allocate(size)
    assert allocator.reserved == taken


def test_a_rest_of_a_mebibyte_is_not_split_off_and_counts_as_allocated() -> None:
    """PyTorch counts the whole block, so allocated memory is more than what was asked for."""
    allocator = CachingAllocator()
    first = allocator.allocate(12 * MIB)
    allocator.release(first)
    allocator.allocate(11 * MIB)
    assert allocator.allocated == 12 * MIB
    expandable = CachingAllocator(expandable=True)
    expandable.release(expandable.allocate(12 * MIB))
    expandable.allocate(11 * MIB)
    assert expandable.allocated == 11 * MIB


def test_best_fit_takes_the_smallest_block_that_is_large_enough() -> None:
    """Of three cached segments the middle one is the best fit."""
    allocator = CachingAllocator()
    held = [allocator.allocate(size * MIB) for size in (40, 14, 30)]
    for block in held:
        allocator.release(block)
    assert allocator.allocate(28 * MIB).address == held[2].address


def test_expandable_segments_grow_where_plain_ones_strand_what_is_cached() -> None:
    """A request that is a little larger than every cached block needs a new plain segment."""
    sizes = [30 * MIB, 31 * MIB, 32 * MIB]
    reserved = {}
    for expandable in (False, True):
        allocator = CachingAllocator(expandable=expandable)
        for size in sizes:
            allocator.release(allocator.allocate(size))
        reserved[expandable] = allocator.reserved
    assert reserved[False] >= 62 * MIB
    assert reserved[True] == 40 * MIB


def test_an_emptied_cache_leaves_what_is_in_use() -> None:
    """A segment with one live block stays whole."""
    allocator = CachingAllocator()
    kept = allocator.allocate(3 * MIB)
    gone = allocator.allocate(50 * MIB)
    allocator.release(gone)
    allocator.empty_cache()
    assert allocator.reserved == LARGE_SEGMENT
    allocator.release(kept)
    allocator.empty_cache()
    assert allocator.reserved == 0 == allocator.allocated


def test_releasing_twice_is_an_error() -> None:
    """A caller's mistake is not taken for memory."""
    allocator = CachingAllocator()
    block = allocator.allocate(1)
    allocator.release(block)
    with pytest.raises(ValueError, match="free already"):
        allocator.release(block)


def _check(allocator: CachingAllocator, live: list[Block]) -> None:
    blocks = allocator.blocks()
    for one, two in pairwise(blocks):
        assert one.address + one.size <= two.address
        if one.after is two:
            assert two.before is one
            assert one.address + one.size == two.address
            assert one.in_use or two.in_use, "two free neighbours were not joined"
    assert sum(block.size for block in blocks) == allocator.reserved
    assert sum(block.size for block in blocks if block.in_use) == allocator.allocated
    assert {id(block) for block in blocks if block.in_use} == {id(block) for block in live}


SIZES = st.one_of(st.integers(1, 4096), st.integers(1, 3 * MIB), st.integers(1, 64 * MIB))


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(SIZES, st.booleans(), st.integers(0, 10**6)), max_size=60), st.booleans())
def test_any_sequence_keeps_the_books(requests: list[tuple[int, bool, int]], expandable: bool) -> None:
    """Blocks never overlap, neighbours are joined, sums hold, and everything comes back in the end."""
    allocator, live = CachingAllocator(expandable=expandable), list[Block]()
    for size, frees, which in requests:
        if frees and live:
            allocator.release(live.pop(which % len(live)))
        block = allocator.allocate(size)
        assert block.size >= block_size(size)
        assert block.address % 512 == 0
        live.append(block)
        _check(allocator, live)
        assert allocator.allocated <= allocator.reserved <= allocator.peak_reserved
    while live:
        allocator.release(live.pop())
        _check(allocator, live)
    assert allocator.allocated == 0
    if not expandable:
        allocator.empty_cache()
        assert allocator.reserved == 0


@settings(deadline=None, max_examples=60)
@given(st.lists(SIZES, min_size=1, max_size=20))
def test_the_same_step_again_takes_nothing_more(sizes: list[int]) -> None:
    """A loop of equal steps reaches a steady state at once: what was cached serves the next one."""
    allocator = CachingAllocator(expandable=True)
    reserved = []
    for _ in range(3):
        live = [allocator.allocate(size) for size in sizes]
        for block in live:
            allocator.release(block)
        reserved.append(allocator.reserved)
    assert reserved[0] == reserved[1] == reserved[2]
    assert reserved[0] >= SMALL_SEGMENT
