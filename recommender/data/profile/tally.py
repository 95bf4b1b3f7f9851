"""Counts of whole numbers, by which a profile of a million rows answers in microseconds.

Token lengths repeat: a million rows have a few thousand distinct lengths. So sums under any limit are kept by distinct
value, and lengths that were never measured (`Runs`) need no list of a million numbers at all.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, repeat
from typing import overload


class Runs(Sequence[int]):
    """A long sequence of few distinct values: value k stands `counts[k]` times in a row."""

    def __init__(self, values: Sequence[int], counts: Sequence[int]) -> None:
        self.values = tuple(values)
        self.counts = tuple(counts)
        self._ends = array("q", accumulate(self.counts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        return self.values[bisect_right(self._ends, position)]

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(map(repeat, self.values, self.counts))


class WholeRows(Sequence[int]):
    """Spans of rows that are trained from their first token to their last: (0, length) for each row."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = lengths

    def __len__(self) -> int:
        return 2 * len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        return self.lengths[position // 2] if position % 2 else 0


@dataclass(frozen=True, slots=True)
class Tally:
    """Distinct values in ascending order, with running counts and sums (one longer than `values`)."""

    values: array[int]
    counts: array[int]
    sums: array[int]

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Tally:
        """Count any sequence of whole numbers."""
        counted: Counter[int] = Counter()
        if isinstance(numbers, Runs):
            for value, count in zip(numbers.values, numbers.counts, strict=True):
                if count:
                    counted[value] += count
        else:
            counted.update(numbers)
        return cls.from_counts(counted)

    @classmethod
    def from_counts(cls, counted: Mapping[int, int]) -> Tally:
        """From each distinct number to how often it stands."""
        values = array("q", sorted(counted))
        return cls(
            values,
            array("q", accumulate((counted[value] for value in values), initial=0)),
            array("q", accumulate((value * counted[value] for value in values), initial=0)),
        )

    @property
    def total(self) -> int:
        """Sum of all numbers."""
        return self.sums[-1]

    def clipped(self, limit: int) -> int:
        """Sum of min(number, limit)."""
        kept = bisect_right(self.values, limit)
        return self.sums[kept] + (self.counts[-1] - self.counts[kept]) * limit

    def above(self, limit: int) -> int:
        """Number of entries greater than limit."""
        return self.counts[-1] - self.counts[bisect_right(self.values, limit)]

    def ranked(self, rank: int) -> int:
        """The rank-th smallest number, counted from 1."""
        return self.values[bisect_left(self.counts, rank) - 1]
