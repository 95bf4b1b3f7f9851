"""A first estimate of a large data set from some of its rows, before all of them are read.

The rows are drawn evenly from the whole where its files can be read from anywhere; packed files, Parquet files and
tables with line ends in their cells are read from their start, and then the estimate holds if the rest is like that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from random import Random
from typing import Any

from presets.errors import InputError
from recommender.config.schema import Data
from recommender.data.dataset import DataSet
from recommender.data.open_file import OpenFile
from recommender.data.profile import intervals
from recommender.data.profile.collect import Profiler, RowStats
from recommender.data.profile.intervals import Interval
from recommender.data.profile.profile import DataProfile
from recommender.data.rows import BadRow
from recommender.data.sources.readers import Raw, Reader
from recommender.data.sources.readers.anywhere import NotAnywhere, draw
from recommender.data.tokens.tokenise import Tokeniser

WANTED = 2000
"""Rows: a share of 1 % is then known to half a percent."""
WORTH_IT = 3 * 1024 * 1024
"""Bytes; less is read as a whole as quickly."""
DRAWING_SECONDS = 0.4
TOKENISING_SECONDS = 0.8
"""From the start of the look; the first batch is always finished."""
ROUND = 100
"""Rows that are looked at together, so that little is done too much when time is up."""
LEAST = 50
"""Fewer drawn rows say nothing."""

Build = Callable[[RowStats, list[OpenFile]], DataSet]


@dataclass(frozen=True)
class FirstLook:
    """Estimates for all rows from a sample of them."""

    dataset: DataSet
    """The rows that were looked at, to be shown."""
    rows: Interval
    """Usable rows in all."""
    everywhere: bool
    """Whether the rows come from everywhere, each as likely; else they are the first ones."""
    places: Sequence[tuple[int, int]] = ()
    """The position of each sampled row: number of its file, and its start there."""

    @property
    def profile(self) -> DataProfile:
        """The profile of the sampled rows."""
        return self.dataset.profile

    @property
    def drawn(self) -> int:
        """Number of sampled rows."""
        return self.profile.rows

    @cached_property
    def _ordered(self) -> list[int]:
        return sorted(self.profile.lengths)

    def quantile(self, q: float) -> Interval:
        """Tokens that a share q of all rows does not exceed."""
        return intervals.quantile(self._ordered, q)

    def rows_cut_share(self, max_length: int) -> Interval:
        """Share of all rows that are longer than max_length."""
        return intervals.share(self.profile.rows_cut(max_length), self.drawn)

    def trained_share(self, max_length: int) -> Interval:
        """Share of all tokens, cut at max_length, that are trained."""
        kept = [min(length, max_length) for length in self.profile.lengths]
        return intervals.ratio(self._trained(max_length), kept)

    def rows_cut(self, max_length: int) -> int:
        """Number of sampled rows that are longer than max_length, for the histogram."""
        return self.profile.rows_cut(max_length)

    def total_tokens(self) -> Interval:
        """Tokens of all rows, uncut: their number times their mean length."""
        mean, rows = intervals.mean(self.profile.lengths), self.rows
        high = None if mean.high is None or rows.high is None else mean.high * rows.high
        return Interval(mean.value * rows.value, mean.low * rows.low, high)

    def _trained(self, max_length: int) -> list[int]:
        profile = self.profile
        spans = [
            (min(profile.spans[2 * k], max_length), min(profile.spans[2 * k + 1], max_length))
            for k in range(len(profile.spans) // 2)
        ]
        starts = profile.span_start
        return [sum(end - start for start, end in spans[starts[i] : starts[i + 1]]) for i in range(self.drawn)]


@dataclass
class _Round:
    """Some of the drawn rows, which may be left out when their turn comes."""

    until: float
    first: bool = False

    @cached_property
    def in_time(self) -> bool:
        return self.first or time.monotonic() < self.until


@dataclass
class _Drawn:
    """A reader of drawn rows, with the interface of a file's."""

    reader: Reader
    held: list[Raw | BadRow]
    round: _Round
    note: str = ""
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.path = self.reader.path
        self.size = len(self.held)

    def rows(self) -> Iterator[Raw | BadRow]:
        if self.round.in_time:
            yield from self.held

    def read(self, start: int, end: int) -> dict[str, Any]:
        return self.reader.read(start, end)


def first_look(
    files: Sequence[OpenFile],
    weights: Sequence[float],
    tokeniser: Tokeniser | None,
    data: Data,
    build: Build,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    seed: int = 0,
) -> FirstLook | None:
    """Estimate a data set from some rows, within about a second.

    Args:
        files: What is to be read.
        weights: How often each file's rows are taken.
        tokeniser: None estimates lengths from the text.
        data: Which tokens the loss sees, and which answers.
        build: Makes a data set of the row statistics of some files.
        cancelled: Asked between batches.
        seed: Of the draw.

    Returns:
        None where the rows say nothing, or a file cannot be read: the whole reading will say why.
    """
    began = time.monotonic()
    try:
        try:
            rows, in_all = _from_anywhere(files, weights, Random(seed), began + DRAWING_SECONDS)
            everywhere = True
        except NotAnywhere:
            rows, in_all = _from_the_start(files, weights, began + DRAWING_SECONDS)
            everywhere = False
        if len(rows) < LEAST:
            return None
        rounds = list(_rounds(files, rows, began + TOKENISING_SECONDS))
        chosen = [file for _, file in rounds]
        stats = Profiler(chosen, [1.0] * len(chosen), tokeniser, data.train_on, data.answers).run(
            lambda _d, _t: None, cancelled
        )
        if len(stats.lengths) < LEAST:
            return None
        usable = len(stats.lengths) / (stats.read + stats.found.bad)
        value, low, high = in_all
        known = Interval(value * usable, low * usable, None if high is None else high * usable)
        index = stats.index
        places = [(rounds[which][0], start) for which, start in zip(index.file, index.start, strict=True)]
        return FirstLook(build(stats, chosen), known, everywhere, places)
    except InputError:
        return None


_Rows = list[tuple[int, Raw | BadRow]]


def _from_anywhere(
    files: Sequence[OpenFile], weights: Sequence[float], rng: Random, until: float
) -> tuple[_Rows, Interval]:
    readers = [(file.reader, weight, file.shape.seen) for file, weight in zip(files, weights, strict=True)]
    found = draw(readers, _row_bytes(files), WANTED, rng, until)
    if not found.windows:
        raise NotAnywhere
    value, error = found.rows_in_all
    # Weighted rows are taken so often; the windows counted each once.
    mean_weight = sum(w * f.reader.size for w, f in zip(weights, files, strict=True)) / sum(
        f.reader.size for f in files
    )
    spread = 1.96 * error
    return found.rows, Interval(
        value * mean_weight, max(0.0, value - spread) * mean_weight, (value + spread) * mean_weight
    )


def _row_bytes(files: Sequence[OpenFile]) -> float:
    """Approximate bytes of a row, from the first ones."""
    lengths = [
        row.end - row.start for file in files[:8] for row in islice(file.reader.rows(), 50) if isinstance(row, Raw)
    ]
    return sum(lengths) / len(lengths) if lengths else 1000.0


def _from_the_start(files: Sequence[OpenFile], weights: Sequence[float], until: float) -> tuple[_Rows, Interval]:
    """The first rows of each file, and the number in all if the rest is as long."""
    rows: _Rows = []
    in_all = 0.0
    for number, (file, weight) in enumerate(zip(files, weights, strict=True)):
        some: list[Raw | BadRow] = []
        with suppress(InputError):
            # A packed file of which only the beginning was unpacked may end within a row.
            for row in islice(file.reader.rows(), max(LEAST, WANTED // len(files))):
                some.append(row)
                if time.monotonic() > until and len(rows) + len(some) >= LEAST:
                    break
        ends = [row.end for row in some if isinstance(row, Raw)]
        in_all += weight * file.reader.size * len(some) / ends[-1] if ends else 0
        rows += [(number, row) for row in some]
    return rows, Interval(in_all, float(len(rows)), None)


def _rounds(files: Sequence[OpenFile], rows: _Rows, until: float) -> Iterator[tuple[int, OpenFile]]:
    """The drawn rows as files of a hundred rows, so that whole rounds are left out when time is up.

    Each with the number of the file that its rows come from.
    """
    for first in range(0, len(rows), ROUND):
        turn = _Round(until, first=first == 0)
        for number, file in enumerate(files):
            held = [row for which, row in rows[first : first + ROUND] if which == number]
            if held:
                yield number, OpenFile(_Drawn(file.reader, held, turn), file.shape, file.rows, around=file.around)
