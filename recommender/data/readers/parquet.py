"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.data.profile import BadRow
from recommender.data.readers.base import Raw

_BATCH = 512


class ParquetReader:
    """Rows of a Parquet file, a row group at a time.

    Raises:
        InputError: It cannot be opened, is no Parquet file, or has no row.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        self.note = ""
        try:
            if not path.stat().st_size:
                raise InputError(f"{path} is empty.", remedy="Give a file with at least one row.")
            self._file = pq.ParquetFile(path)
        except OSError as error:
            raise _broken(path, error) from error
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise _broken(path, error) from error
        self.size: int = self._file.metadata.num_rows
        if not self.size:
            raise InputError(f"{path} has no row.", remedy="Give a file with at least one row.")
        self._group = (0, 0, list[dict[str, Any]]())

    def rows(self) -> Iterator[Raw | BadRow]:
        """Every row; `line` is its number from 1."""
        import pyarrow as pa

        position = 0
        try:
            for batch in self._file.iter_batches(batch_size=_BATCH):
                for values in batch.to_pylist():
                    yield Raw(values, position, position + 1, position + 1)
                    position += 1
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise _broken(self.path, error) from error

    def read(self, start: int, end: int) -> dict[str, Any]:  # noqa: ARG002
        """The row with that number, from 0. The last row group is kept, so neighbours come cheaply."""
        first, last, rows = self._group
        if not first <= start < last:
            first = 0
            for group in range(self._file.num_row_groups):
                last = first + self._file.metadata.row_group(group).num_rows
                if start < last:
                    rows = self._file.read_row_group(group).to_pylist()
                    break
                first = last
            self._group = (first, last, rows)
        return rows[start - first]


def _broken(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read as Parquet.",
        remedy="Copy it again (a Git LFS pointer or a half download looks like this), or check its permissions.",
        detail=str(error),
    )
