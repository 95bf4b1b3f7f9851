"""Refinement of the first estimate while rows are read: read rows are exact, only the rest is estimated.

Of a data set that is read from its start, the rows that were drawn for the first look and lie behind the place that has
been reached are a random sample of what is left. So each figure is a sum of two strata, one known and one sampled
(Cochran, Sampling Techniques, chapter 5): its interval is that of the rest, narrowed by the share that the rest is of
all, and nothing at the end.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from recommender.data.profile import intervals
from recommender.data.profile.collect import RowStats
from recommender.data.profile.first_look import FirstLook
from recommender.data.profile.intervals import Interval
from recommender.data.profile.tally import Tally

EVERY_SECONDS = 1.0
"""Between two tellings: each costs the reading two or three milliseconds."""
_NOTHING = Tally.of(())


@dataclass(frozen=True, slots=True)
class SoFar:
    """The rows read so far, in numbers."""

    rows: int
    """Usable rows."""
    lengths: Tally
    starts: Tally
    """Of trained spans."""
    ends: Tally
    bad: int
    duplicates: int

    def trained(self, max_length: int) -> int:
        """Trained tokens of these rows, cut at max_length."""
        return self.ends.clipped(max_length) - self.starts.clipped(max_length)


@dataclass(frozen=True)
class Refined(FirstLook):
    """Estimates for all rows from a sample, where some of them have been read exactly."""

    so_far: SoFar = field(default_factory=lambda: SoFar(0, _NOTHING, _NOTHING, _NOTHING, 0, 0))
    ahead: Sequence[int] = ()
    """Drawn rows, by their number in the first look, that have not been read yet."""

    @property
    def _rest(self) -> float:
        """Rows that are still to be read, as a share of all."""
        return max(0.0, 1 - self.so_far.rows / max(1.0, self.rows.value))

    @cached_property
    def _sample(self) -> Tally:
        """Lengths of the rows that stand for the rest: drawn ones, or the read ones where none were drawn."""
        lengths = self.profile.lengths
        return Tally.of([lengths[i] for i in self.ahead]) if self.everywhere else self.so_far.lengths

    @cached_property
    def _candidates(self) -> list[int]:
        return sorted({*self.so_far.lengths.values, *self._sample.values})

    def quantile(self, q: float) -> Interval:
        """Tokens that a share q of all rows does not exceed.

        The ends are those lengths at which the binomial chance of as many sampled rows below it is just 2.5 %.
        """
        tail, rest, drawn = (1 - intervals.CONFIDENCE) / 2, self._rest, self._sample.counts[-1]

        def below(length: int) -> tuple[int, float]:
            """Sampled rows up to a length, and the share of the rest that must be for the quantile to be there."""
            known = self._up_to(self.so_far.lengths, length) / max(1, self.so_far.rows)
            return self._up_to(self._sample, length), (q - (1 - rest) * known) / rest if rest else q - known

        def likely(length: int) -> bool:
            hits, share = below(length)
            return share <= 0 or (share < 1 and intervals.binomial_cdf(hits, drawn, share) > tail)

        def reached(length: int) -> bool:
            hits, share = below(length)
            return share <= (hits / drawn if drawn and rest else 0)

        def sure(length: int) -> bool:
            hits, share = below(length)
            return share <= 0 or (share < 1 and 1 - intervals.binomial_cdf(hits - 1, drawn, share) <= tail)

        low, value, high = (self._first(holds) for holds in (likely, reached, sure))
        last = self._candidates[-1]
        return Interval(last if value is None else value, last if low is None else low, high)

    def _first(self, holds: Callable[[int], bool]) -> int | None:
        place = intervals.first(len(self._candidates), lambda rank: holds(self._candidates[rank - 1]))
        return self._candidates[place - 1] if place <= len(self._candidates) else None

    @staticmethod
    def _up_to(tally: Tally, length: int) -> int:
        return tally.counts[bisect_right(tally.values, length)]

    def rows_cut_share(self, max_length: int) -> Interval:
        """Share of all rows that are longer than max_length."""
        known = self.so_far.lengths.above(max_length) / max(1, self.so_far.rows)
        drawn = self._sample.counts[-1]
        of_rest = intervals.share(self._sample.above(max_length), drawn) if drawn else Interval(known, 0.0, 1.0)
        return self._joined(known, of_rest, self._rest)

    def trained_share(self, max_length: int) -> Interval:
        """Share of all tokens, cut at max_length, that are trained."""
        tokens = self.so_far.lengths.clipped(max_length)
        known = self.so_far.trained(max_length) / tokens if tokens else 0.0
        if not self.everywhere:
            _, low, high = super().trained_share(max_length)
            narrowed = (self.drawn / max(self.drawn, self.so_far.rows)) ** 0.5
            spread = ((high or 1.0) - low) / 2 * narrowed
            return self._joined(known, Interval(known, max(0.0, known - spread), min(1.0, known + spread)), self._rest)
        if not self.ahead:
            return self._joined(known, Interval(known, 0.0, 1.0), self._rest)
        kept = [min(self.profile.lengths[i], max_length) for i in self.ahead]
        trained = self._trained(max_length)
        of_rest = intervals.ratio([trained[i] for i in self.ahead], kept)
        rest_tokens = sum(kept) / len(kept) * self._rest * self.rows.value
        weight = rest_tokens / (rest_tokens + tokens) if rest_tokens else 0.0
        return self._joined(known, of_rest, weight)

    @staticmethod
    def _joined(known: float, of_rest: Interval, weight: float) -> Interval:
        """Two strata, the second of this weight."""
        value, low, high = ((1 - weight) * known + weight * (1.0 if part is None else part) for part in of_rest)
        return Interval(value, low, high)

    def rows_cut(self, max_length: int) -> int:
        """About how many rows are longer than max_length, for the histogram."""
        drawn = self._sample.counts[-1]
        each = self._rest * self.rows.value / drawn if drawn else 0.0
        return self.so_far.lengths.above(max_length) + round(each * self._sample.above(max_length))


class _Growing:
    """Counts of an array that grows, without counting anything twice."""

    def __init__(self, numbers: array[int], first: int = 0, step: int = 1) -> None:
        self._numbers = numbers
        self._next = first
        self._step = step
        self._counted: Counter[int] = Counter()

    def tally(self) -> Tally:
        end = len(self._numbers)
        self._counted.update(self._numbers[self._next : end : self._step])
        self._next += len(range(self._next, end, self._step)) * self._step
        return Tally.from_counts(self._counted)


class Refiner:
    """Reports a refined estimate from time to time while rows are read.

    Args:
        look: The first look.
        stats: What is filled while the rows are read.
        sizes: Of each file, in the unit of a row's end.
        on_refined: Told the better estimate.
        clock: Seconds.
    """

    def __init__(
        self,
        look: FirstLook,
        stats: RowStats,
        sizes: Sequence[int],
        on_refined: Callable[[Refined], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._stats = stats
        self._before = (0, *accumulate(sizes))
        self._on_refined = on_refined
        self._clock = clock
        self._last = clock()
        self._order = sorted(range(len(look.places)), key=look.places.__getitem__)
        self._places = [look.places[i] for i in self._order]
        spans = stats.spans
        self._tallies = (_Growing(stats.lengths), _Growing(spans, step=2), _Growing(spans, first=1, step=2))

    def progress(self) -> None:
        """Report a refined estimate if it is time; called once a batch."""
        now = self._clock()
        if now - self._last >= EVERY_SECONDS and self._stats.lengths:
            self._last = now
            self._on_refined(self.refined())

    def refined(self) -> Refined:
        """The estimate now; there are rows."""
        look, kept = self._look, self._stats
        ahead = self._order[bisect_right(self._places, (kept.index.file[-1], kept.index.start[-1])) :]
        lengths, starts, ends = (numbers.tally() for numbers in self._tallies)
        so_far = SoFar(len(kept.lengths), lengths, starts, ends, kept.found.bad, kept.found.duplicates)
        in_all = self._in_all(so_far.rows, len(ahead))
        return Refined(look.dataset, in_all, look.everywhere, look.places, so_far, tuple(ahead))

    def _in_all(self, rows: int, ahead: int) -> Interval:
        """Rows in all: the read ones, and an estimate of the others from the drawn ones."""
        value, low, high = self._look.rows
        if self._look.everywhere and high is not None:
            left = intervals.share(ahead, len(self._order))
            better = Interval(rows + left.value * value, rows + left.low * low, rows + (left.high or 1.0) * high)
            return better if (better.high or high) - better.low < high - low else Interval(value, low, high)
        position = self._before[self._stats.index.file[-1]] + self._stats.index.end[-1]
        return Interval(max(rows, rows * self._before[-1] / position), float(rows), None)


def refining(
    look: FirstLook,
    stats: RowStats,
    sizes: Sequence[int],
    on_refined: Callable[[Refined], None],
    on_progress: Callable[[int, int], None],
) -> Callable[[int, int], None]:
    """A progress callback that calls `on_progress` and also refines a first look; see `Refiner`."""
    refiner = Refiner(look, stats, sizes, on_refined)

    def both(done: int, total: int) -> None:
        on_progress(done, total)
        refiner.progress()

    return both
