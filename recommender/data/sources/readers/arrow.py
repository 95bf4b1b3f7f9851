"""Arrow files, as the `datasets` library keeps them on disk (`save_to_disk`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.data.rows import BadRow
from recommender.data.sources.readers.base import Raw
from recommender.data.sources.readers.nulls import without_nulls

_BATCH = 512


class ArrowReader:
    """Rows of an Arrow file or stream, which is mapped into memory and not read as a whole.

    Args:
        path: The file.

    Raises:
        InputError: It is no Arrow file, or has no row.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.path = path
        self.note = ""
        try:
            self._table = _mapped(path)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise InputError(
                f"{path} cannot be read as Arrow.",
                remedy="Save it again with save_to_disk, or give the data as Parquet or JSON.",
                detail=str(error),
            ) from error
        self.size: int = self._table.num_rows
        if not self.size:
            raise InputError(f"{path} has no row.", remedy="Give a file with at least one row.")
        self._window = (0, list[dict[str, Any]]())

    def rows(self) -> Iterator[Raw | BadRow]:
        """Every row; `line` is its number from 1."""
        for position in range(self.size):
            yield Raw(self.read(position, position + 1), position, position + 1, position + 1)

    def read(self, start: int, end: int) -> dict[str, Any]:  # noqa: ARG002
        """The row with that number, from 0; neighbours come cheaply."""
        first, rows = self._window
        if not first <= start < first + len(rows):
            first = start - start % _BATCH
            rows = [without_nulls(row) for row in self._table.slice(first, _BATCH).to_pylist()]
            self._window = (first, rows)
        return rows[start - first]


def _mapped(path: Path) -> Any:
    """The table of a file, in either of Arrow's two ways to write one."""
    import pyarrow as pa

    held = pa.memory_map(str(path))
    try:
        return pa.ipc.open_stream(held).read_all()
    except pa.ArrowInvalid:
        held.seek(0)
        return pa.ipc.open_file(held).read_all()
