"""Random rows of a file, each as likely as any other, without reading the rest.

A window of bytes at a random place holds the starts of a few rows. Each row's start is in as many windows as any
other's, so a row is drawn evenly by taking one of those in a window with a chance in proportion to their number:
with k starts, one of them with chance k / K, where K is the most that any window held. A window that holds more makes
K larger, and of the rows drawn before only the share K / k is kept, as if K had been that from the beginning.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from recommender.data.rows import BadRow
from recommender.data.sources.readers.base import Raw, Reader
from recommender.data.sources.readers.bytefile import ByteFile
from recommender.data.sources.readers.json_rows import JsonArray, JsonLines
from recommender.data.sources.readers.json_stream import value_at
from recommender.data.sources.readers.plain import PlainReader
from recommender.data.sources.readers.tables import TableReader

_LINE = re.compile(rb"\n(?=[ \t\r]*[^\s])")
_SLACK = 256
"""Bytes around a window in which the signs before and behind a row's start are looked for."""
_ROWS_A_WINDOW = 8
_LONGEST_WINDOW = 4 * 1024 * 1024
_LONGEST_ROW = 16 * 1024 * 1024
"""Bytes; a file with longer rows is read from its start instead."""
_LOOK_AT_CLOCK = 32
"""Windows between two looks at the clock."""


class NotAnywhere(Exception):
    """Row starts cannot be found from the file's middle: it has to be read from its start."""


@dataclass
class Drawn:
    """Randomly drawn rows."""

    rows: list[tuple[int, Raw | BadRow]] = field(default_factory=list)
    """Number of the file, and the row; in the order in which they were drawn."""
    windows: int = 0
    starts: int = 0
    """Row starts in all windows."""
    spread: float = 0.0
    """Sum of the squares of the starts in each window."""
    reach: int = 0
    """Places that a window can have."""
    width: int = 1
    """Bytes of a window."""

    @property
    def rows_in_all(self) -> tuple[float, float]:
        """Estimated rows of all files, and the standard error."""
        mean = self.starts / self.windows
        variance = max(0.0, self.spread / self.windows - mean**2) / self.windows
        scale = self.reach / self.width
        return scale * mean, scale * variance**0.5


def draw(
    files: Sequence[tuple[Reader, float, Sequence[str]]], row_bytes: float, wanted: int, rng: Random, until: float
) -> Drawn:
    """Draw different rows until there are enough, or time is up.

    Args:
        files: Readers, how often each one's rows are taken, and their columns.
        row_bytes: About how long a row is.
        wanted: Rows.
        rng: Where chance comes from.
        until: `time.monotonic()` at which it ends.

    Raises:
        NotAnywhere: One of the files has to be read from its start.
        InputError: One cannot be read.
    """
    finders = [_RowStarts.of(reader, columns) for reader, _, columns in files]
    width = int(min(_LONGEST_WINDOW, max(512, _ROWS_A_WINDOW * row_bytes)))
    spans = [finder.size - finder.first + width - 1 for finder in finders]
    heaviest = max(weight for _, weight, _ in files)
    found = Drawn(reach=sum(spans), width=width)
    taken: list[tuple[int, int]] = []
    most = 1
    while len(taken) < wanted:
        if found.windows % _LOOK_AT_CLOCK == 0 and time.monotonic() > until:
            break
        number = rng.choices(range(len(finders)), spans)[0]
        finder = finders[number]
        at = finder.first - width + 1 + rng.randrange(spans[number])
        starts = finder.starts(max(finder.first, at), min(finder.size, at + width))
        found.windows += 1
        found.starts += len(starts)
        found.spread += len(starts) ** 2
        if len(starts) > most:
            taken = [pair for pair in taken if rng.random() < most / len(starts)]
            most = len(starts)
        if starts and rng.random() < len(starts) / most * files[number][1] / heaviest:
            taken.append((number, rng.choice(starts)))
            if len(taken) == wanted:
                taken = list(dict.fromkeys(taken))
        if found.windows > 64 and not found.starts:
            raise NotAnywhere
    found.rows = [(number, finders[number].row(start)) for number, start in dict.fromkeys(taken)]
    return found


class _RowStarts:
    """Finder of row starts in one file, and of the row that begins there."""

    def __init__(self, source: ByteFile, first: int, start_sign: re.Pattern[bytes], at_first: bool) -> None:
        self._source = source
        self.first = first
        self.size = source.size
        self._sign = start_sign
        self._at_first = at_first

    @staticmethod
    def of(reader: Reader, columns: Sequence[str]) -> _RowStarts:
        source: ByteFile | None = getattr(reader, "source", None)
        if source is None or not source.whole:
            raise NotAnywhere
        if isinstance(reader, JsonLines):
            return _Lines(reader.source, reader.source.first, reader)
        if isinstance(reader, TableReader):
            return _Lines(reader.source, reader.body, reader)
        if isinstance(reader, PlainReader) and not reader.blocks:
            return _Lines(reader.source, reader.source.first, reader)
        if isinstance(reader, JsonArray) and columns and reader.key is None:
            return _Elements(reader, columns)
        raise NotAnywhere

    def starts(self, first: int, last: int) -> list[int]:
        """Every position from first to last at which a row starts."""
        before = max(self.first, first - _SLACK)
        data = self._source.at(before, min(self.size, last + _SLACK))
        found = [before + match.end() for match in self._sign.finditer(data)]
        if before == self.first and self._at_first and self._sign.match(b"\n" + data):
            found.insert(0, before)
        return [start for start in found if first <= start < last]

    def row(self, start: int) -> Raw | BadRow:
        raise NotImplementedError


class _Lines(_RowStarts):
    """Row starts of a file with a row a line."""

    def __init__(self, source: ByteFile, first: int, reader: JsonLines | TableReader | PlainReader) -> None:
        super().__init__(source, first, _LINE, at_first=True)
        self._reader = reader

    def row(self, start: int) -> Raw | BadRow:
        for _, _, content in self._source.lines(start, block_size=4096):
            if len(content) > _LONGEST_ROW:
                raise NotAnywhere
            row = self._reader.row(0, start, content)
            if isinstance(row, BadRow) and isinstance(self._reader, TableReader):
                # Most likely the middle of a cell with line ends in it.
                raise NotAnywhere
            return row
        raise NotAnywhere


class _Elements(_RowStarts):
    """Row starts of a JSON array: behind a bracket or comma, an object whose first key is one of the columns.

    Inside of a text every quote has a backslash before it, so this is not found in one.
    """

    def __init__(self, reader: JsonArray, columns: Sequence[str]) -> None:
        names = b"|".join(re.escape(_quoted(name)) for name in columns)
        sign = re.compile(rb"[\[,]\s{0,200}(?=\{\s{0,40}(?:" + names + rb")\s{0,8}:)")
        super().__init__(reader.source, reader.source.first, sign, at_first=False)
        self._columns = set(columns)

    def row(self, start: int) -> Raw | BadRow:
        length = 8192
        while length <= _LONGEST_ROW:
            data = self._source.at(start, start + length)
            if (found := value_at(data)) is not None:
                value, size = found
                if not isinstance(value, dict) or not self._columns >= value.keys():
                    raise NotAnywhere
                return Raw(value, start, start + size, 0)
            length *= 4
        raise NotAnywhere


def _quoted(name: str) -> bytes:
    return json.dumps(name, ensure_ascii=False).encode("utf-8")
