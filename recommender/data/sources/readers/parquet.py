"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.data.rows import BadRow
from recommender.data.sources.readers.base import Raw
from recommender.data.sources.readers.bytefile import ByteFile
from recommender.data.sources.readers.nulls import without_nulls

_BATCH = 512


class ParquetReader:
    """Rows of a Parquet file, a few hundred at a time.

    Args:
        held: The file, unpacked where it was packed.

    Raises:
        InputError: It is no Parquet file, or has no row.
    """

    def __init__(self, held: ByteFile) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = held.path
        self.note = ""
        self._held = held
        try:
            self._file = pq.ParquetFile(held.handle if held.packed else held.path)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise _broken(self.path, error) from error
        self.size: int = self._file.metadata.num_rows
        if not self.size:
            raise InputError(f"{self.path} has no row.", remedy="Give a file with at least one row.")
        self._group: tuple[int, int, Any] = (0, 0, None)
        self._window = (0, list[dict[str, Any]]())

    def rows(self) -> Iterator[Raw | BadRow]:
        """Every row; `line` is its number from 1."""
        import pyarrow as pa

        position = 0
        try:
            for batch in self._file.iter_batches(batch_size=_BATCH):
                self._held.require_unchanged()
                for values in batch.to_pylist():
                    yield Raw(without_nulls(values), position, position + 1, position + 1)
                    position += 1
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            self._held.require_unchanged()
            raise _broken(self.path, error) from error

    def read(self, start: int, end: int) -> dict[str, Any]:  # noqa: ARG002
        """The row with that number, from 0; neighbours come cheaply.

        The last row group is kept as Arrow's columns: as Python's objects one of a million rows takes gigabytes.
        """
        import pyarrow as pa

        self._held.require_unchanged()
        first, rows = self._window
        if not first <= start < first + len(rows):
            first = start - start % _BATCH
            try:
                rows = self._near(first)
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                raise _broken(self.path, error) from error
            self._window = (first, rows)
        return rows[start - first]

    def _near(self, first: int) -> list[dict[str, Any]]:
        """The rows from one on, `_BATCH` of them where there are as many, through all row groups that hold some."""
        rows: list[dict[str, Any]] = []
        while len(rows) < _BATCH and first + len(rows) < self.size:
            at = first + len(rows)
            start, end, table = self._group_of(at)
            some = table.slice(at - start, min(end - at, _BATCH - len(rows))).to_pylist()
            rows += [without_nulls(row) for row in some]
        return rows

    def _group_of(self, row: int) -> tuple[int, int, Any]:
        """The row group that a row is in: its first row, its end and its columns."""
        start, end, _ = self._group
        if not start <= row < end:
            end = 0
            for group in range(self._file.num_row_groups):
                start, end = end, end + self._file.metadata.row_group(group).num_rows
                if row < end:
                    self._group = (start, end, self._file.read_row_group(group))
                    break
        return self._group


def _broken(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read as Parquet.",
        remedy="Copy it again (a Git LFS pointer or a half download looks like this), or check its permissions.",
        detail=str(error),
    )
