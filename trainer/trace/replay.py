"""A recording replayed through the simulated allocator: levels, and parts at the peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recommender.memory.allocator import Block, CachingAllocator, CountingAllocator


@dataclass(frozen=True, slots=True)
class Levels:
    """The peaks of a replay, in bytes."""

    allocated: int
    reserved: int
    parts: dict[str, int]
    """By category at the first moment of the allocated peak: they add up to `allocated`."""


def replay(
    events: Sequence[int],
    sizes: Sequence[int],
    categories: Sequence[str],
    *,
    expandable: bool,
    empties_cache: bool,
    ignored: str,
    on_cpu: bool = False,
) -> Levels:
    """Replay a recording and return its peaks.

    Args:
        events: A birth is the number of a storage plus one, a death its negative, 0 the end of loading.
        sizes: Bytes, by number.
        categories: By number.
        expandable: Whether segments are.
        empties_cache: Whether unused segments go back to the driver at the end of loading.
        ignored: Category that takes no device memory.
        on_cpu: Whether it is a processor's memory, which has no such allocator.
    """
    allocator = CountingAllocator() if on_cpu else CachingAllocator(expandable=expandable)
    live: dict[int, Block] = {}
    now = dict.fromkeys(categories, 0)
    at_peak: dict[str, int] = {}
    for event in events:
        number = abs(event) - 1
        if event == 0:
            if empties_cache and isinstance(allocator, CachingAllocator) and not expandable:
                allocator.empty_cache()
                allocator.peak_reserved = allocator.reserved
        elif categories[number] == ignored:
            continue
        elif event > 0:
            before = allocator.peak_allocated
            block = live[number] = allocator.allocate(sizes[number])
            now[categories[number]] += block.size
            if allocator.peak_allocated > before:
                at_peak = dict(now)
        else:
            block = live.pop(number)
            now[categories[number]] -= block.size
            allocator.release(block)
    return Levels(allocator.peak_allocated, allocator.peak_reserved, {k: v for k, v in at_peak.items() if v})
