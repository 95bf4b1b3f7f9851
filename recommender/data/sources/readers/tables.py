"""CSV and TSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from presets.errors import InputError
from recommender.data.rows import BadRow
from recommender.data.sources.readers.base import Raw, excerpt
from recommender.data.sources.readers.bytefile import ByteFile
from recommender.units import counted

_DELIMITERS = (",", ";", "\t", "|")
_LONGEST_FIELD = 2**31 - 1


class _Lines:
    """Feeds csv.reader, and knows how far it has read."""

    def __init__(self, source: ByteFile) -> None:
        self._source = source
        self._lines = source.lines()
        self.end = source.first
        self.line = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.line, start, content = next(self._lines)
        self.end = start + len(content)
        return self._source.text(content, start)


class TableReader:
    """A table with its column names in the first line. Quotes as RFC 4180 has them; a cell may hold line ends.

    Raises:
        InputError: No column names, or one twice.
    """

    def __init__(self, source: ByteFile) -> None:
        csv.field_size_limit(_LONGEST_FIELD)
        self.source = source
        self.path = source.path
        self.delimiter = self._delimiter()
        self.columns, self.body = self._header()
        self.note = {"\t": "separated by tabs"}.get(self.delimiter, f"separated by '{self.delimiter}'")

    @property
    def size(self) -> int:
        """Bytes."""
        return self.source.size

    def _delimiter(self) -> str:
        """A tab in .tsv; in .csv the sign that stands most often in the first line."""
        if ".tsv" in self.path.name.lower():
            return "\t"
        first = next(iter(_Lines(self.source)), "")
        return max(_DELIMITERS, key=first.count)

    def _header(self) -> tuple[list[str], int]:
        """The column names, and the byte behind them."""
        lines = _Lines(self.source)
        try:
            columns = [name.strip() for name in next(csv.reader(lines, delimiter=self.delimiter, strict=True), [])]
        except csv.Error as error:
            raise self._broken(1, error) from error
        twice = {name for name in columns if columns.count(name) > 1}
        if not any(columns) or twice:
            what = f"names the column '{sorted(twice)[0]}' twice" if any(columns) else "holds no column names"
            raise InputError(
                f"The first line of {self.path} {what}.",
                remedy="Give each column its own name in the first line, such as instruction,input,output.",
            )
        return columns, lines.end

    def _broken(self, line: int, error: csv.Error) -> InputError:
        return InputError(
            f"{self.path}: the record that starts on line {line} cannot be read: {error}.",
            remedy="Most often a quote is not closed; a quote inside a quoted cell is written twice.",
        )

    def rows(self) -> Iterator[Raw | BadRow]:
        """Every record behind the first line."""
        lines = _Lines(self.source)
        records = csv.reader(lines, delimiter=self.delimiter, strict=True)
        start, line = 0, 1
        try:
            for record in records:
                if start and record:
                    yield self._cells(record, start, lines.end, line)
                start, line = lines.end, lines.line + 1
        except csv.Error as error:
            raise self._broken(line, error) from error

    def row(self, line: int, start: int, content: bytes) -> Raw | BadRow:
        """The record of one line, where it is a whole one."""
        text = self.source.text(content, start)
        try:
            record = next(csv.reader([text], delimiter=self.delimiter, strict=True))
        except csv.Error as error:
            return BadRow(str(self.path), line, f"cannot be read: {error}", excerpt(text))
        return self._cells(record, start, start + len(content), line)

    def _cells(self, record: list[str], start: int, end: int, line: int) -> Raw | BadRow:
        if len(record) != len(self.columns):
            reason = f"has {counted(len(record), 'cell')}, the table has {counted(len(self.columns), 'column')}"
            return BadRow(str(self.path), line, reason, excerpt(self.delimiter.join(record)))
        if any("\0" in cell for cell in record):
            # Nobody types it, and no program writes it into text: the file is damaged, or no text at all.
            reason = "holds a NUL character"
            return BadRow(str(self.path), line, reason, excerpt(self.delimiter.join(record)))
        return Raw(dict(zip(self.columns, record, strict=True)), start, end, line)

    def read(self, start: int, end: int) -> dict[str, Any]:
        """The record that stands there."""
        text = io.StringIO(self.source.text(self.source.at(start, end), start), newline="")
        return dict(zip(self.columns, next(csv.reader(text, delimiter=self.delimiter, strict=True)), strict=True))
