"""PyTorch's CUDA caching allocator, simulated: which bytes a sequence of allocations takes from the driver.

After `c10/cuda/CUDACachingAllocator.cpp` of PyTorch 2.13 on one stream with its default settings, and with
`expandable_segments:True`. Sizes are bytes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

MIB = 2**20
SMALLEST_BLOCK = 512
"""Every size is rounded up to a multiple of it (kMinBlockSize)."""
SMALL_REQUEST = MIB
"""Requests up to it come from the small pool (kSmallSize)."""
SMALL_SEGMENT = 2 * MIB
"""Bytes that the small pool takes from the driver at a time (kSmallBuffer)."""
LARGE_SEGMENT = 20 * MIB
"""Bytes that a request below `OWN_SEGMENT` takes from the driver (kLargeBuffer)."""
OWN_SEGMENT = 10 * MIB
"""Requests from it on get a segment of their own size (kMinLargeAlloc) ..."""
SEGMENT_STEP = 2 * MIB
"""... rounded up to a multiple of this (kRoundLarge)."""


@dataclass(slots=True, eq=False)
class Block:
    """A piece of a segment, in use or free; its neighbours are blocks of the same segment."""

    address: int
    size: int
    small: bool
    in_use: bool = False
    before: Block | None = field(default=None, repr=False)
    after: Block | None = field(default=None, repr=False)


def round_up(size: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `size`."""
    return -(-size // multiple) * multiple


def block_size(size: int) -> int:
    """The least number of bytes that the allocator takes for a request of `size` bytes."""
    return max(SMALLEST_BLOCK, round_up(size, SMALLEST_BLOCK))


class CountingAllocator:
    """An allocator that counts bytes as requested and keeps none: a processor's.

    Attributes:
        allocated: Bytes in use.
    """

    def __init__(self) -> None:
        self.allocated = self.peak_allocated = 0

    @property
    def peak_reserved(self) -> int:
        """The allocated peak: nothing is kept back."""
        return self.peak_allocated

    def allocate(self, size: int) -> Block:
        """Hand out `size` bytes."""
        self.allocated += size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return Block(0, size, small=False, in_use=True)

    def release(self, block: Block) -> None:
        """Take a block back."""
        self.allocated -= block.size


class CachingAllocator:
    """Allocator of blocks from segments that are kept once taken.

    Args:
        expandable: Whether each pool grows in place (`expandable_segments:True`).

    Attributes:
        allocated: Bytes of blocks in use, as `torch.cuda.memory_allocated` counts them: a block that was not worth
            splitting counts whole.
        reserved: Bytes taken from the driver.
    """

    def __init__(self, *, expandable: bool = False) -> None:
        self.expandable = expandable
        self.allocated = self.reserved = 0
        self.peak_allocated = self.peak_reserved = 0
        # (size, address) of free blocks, sorted, by pool: the order in which best fit looks.
        self._free: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        self._blocks: dict[int, Block] = {}
        self._next_address = 0
        # The last mapped block of each pool's one expandable segment.
        self._tail: dict[bool, Block | None] = {True: None, False: None}
        # Expandable pools live in address ranges of their own, far apart.
        self._end = {True: 1 << 60, False: 1 << 61}

    def allocate(self, size: int) -> Block:
        """Hand out a block of at least `size` bytes."""
        wanted = block_size(size)
        small = wanted <= SMALL_REQUEST
        block = self._best_fit(wanted, small) or self._grow(wanted, small)
        block = self._split(block, wanted)
        block.in_use = True
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return block

    def release(self, block: Block) -> None:
        """Take a block back; it is joined with free neighbours and kept.

        Raises:
            ValueError: It was not in use.
        """
        if not block.in_use:
            raise ValueError("the block is free already")
        block.in_use = False
        self.allocated -= block.size
        for neighbour in (block.before, block.after):
            if neighbour is not None and not neighbour.in_use:
                self._forget_free(neighbour)
                block = self._join(block, neighbour)
        self._remember_free(block)

    def empty_cache(self) -> None:
        """Give the driver every segment that is free from end to end.

        Raises:
            NotImplementedError: The segments are expandable, of which single pages would be given back.
        """
        if self.expandable:
            raise NotImplementedError("pages of expandable segments are not given back here")
        for free in self._free.values():
            for size, address in list(free):
                block = self._blocks[address]
                if block.before is None and block.after is None:
                    free.remove((size, address))
                    del self._blocks[address]
                    self.reserved -= size

    def blocks(self) -> list[Block]:
        """Every block, in the order of addresses."""
        return [self._blocks[address] for address in sorted(self._blocks)]

    def _best_fit(self, wanted: int, small: bool) -> Block | None:
        """The smallest free block that is large enough; of an expandable pool, its open end last."""
        free = self._free[small]
        place = bisect_left(free, (wanted, -1))
        if place == len(free):
            return None
        block = self._blocks[free[place][1]]
        if self.expandable and block is self._tail[small] and place + 1 < len(free):
            # The end counts as what it can grow to, so any other block that fits is a better fit.
            place += 1
            block = self._blocks[free[place][1]]
        del free[place]
        return block

    def _grow(self, wanted: int, small: bool) -> Block:
        return self._extend(wanted, small) if self.expandable else self._new_segment(wanted, small)

    def _new_segment(self, wanted: int, small: bool) -> Block:
        size = SMALL_SEGMENT if small else LARGE_SEGMENT if wanted < OWN_SEGMENT else round_up(wanted, SEGMENT_STEP)
        self._take(size)
        # Addresses of two segments never touch: the gap keeps them from being taken for neighbours.
        block = Block(self._next_address, size, small)
        self._next_address += size + SEGMENT_STEP
        self._blocks[block.address] = block
        return block

    def _extend(self, wanted: int, small: bool) -> Block:
        """Map pages behind the end of the pool's segment, as many as its free end lacks."""
        tail = self._tail[small]
        open_end = tail is not None and not tail.in_use
        missing = wanted - (tail.size if tail is not None and open_end else 0)
        mapped = round_up(missing, SMALL_SEGMENT if small else LARGE_SEGMENT)
        self._take(mapped)
        if tail is not None and open_end:
            self._forget_free(tail)
            tail.size += mapped
        else:
            tail = Block(self._end[small], mapped, small, before=tail)
            if tail.before is not None:
                tail.before.after = tail
            self._blocks[tail.address] = tail
            self._tail[small] = tail
        self._end[small] += mapped
        return tail

    def _take(self, size: int) -> None:
        self.reserved += size
        self.peak_reserved = max(self.peak_reserved, self.reserved)

    def _split(self, block: Block, wanted: int) -> Block:
        """Cut the rest of a block off: from 512 bytes in a small or expandable pool, else from more than 1 MiB."""
        rest = block.size - wanted
        worth = rest >= SMALLEST_BLOCK if block.small or self.expandable else rest > SMALL_REQUEST
        if not worth:
            return block
        remainder = Block(block.address + wanted, rest, block.small, before=block, after=block.after)
        if remainder.after is not None:
            remainder.after.before = remainder
        block.size, block.after = wanted, remainder
        self._blocks[remainder.address] = remainder
        if self._tail[block.small] is block:
            self._tail[block.small] = remainder
        self._remember_free(remainder)
        return block

    def _join(self, one: Block, other: Block) -> Block:
        """Join two neighbours into the one with the lower address."""
        first, second = (one, other) if one.address < other.address else (other, one)
        first.size += second.size
        first.after = second.after
        if first.after is not None:
            first.after.before = first
        del self._blocks[second.address]
        if self._tail[first.small] is second:
            self._tail[first.small] = first
        return first

    def _remember_free(self, block: Block) -> None:
        insort(self._free[block.small], (block.size, block.address))

    def _forget_free(self, block: Block) -> None:
        free = self._free[block.small]
        del free[bisect_left(free, (block.size, block.address))]
