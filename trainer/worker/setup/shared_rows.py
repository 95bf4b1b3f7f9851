"""Rows that the first rank has prepared, in all ranks: the others map its file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset
from datasets.table import MemoryMappedTable

from trainer.run.folder import FOLDER_MODE, RunFolder
from trainer.worker.setup.rows import Rows
from trainer.worker.world import object_of_the_first, this, wait_for_all

PLACE = ".rows"
"""Below `ranks`, while the others open it; what is mapped stays readable once it has been removed."""


def rows_of_all(read: Callable[[], Rows], folder: RunFolder) -> Rows:
    """Return the rows that the first rank reads; every rank must come here.

    Args:
        read: Tokenises and splits the data; called in the first rank.
        folder: The run.

    Raises:
        InputError: In the first rank, where the data cannot be trained on.
        OSError: The run's disk has no room for them, 4 bytes for each token and label.
    """
    if this().size == 1:
        return read()
    place = folder.ranks / PLACE
    if this().first:
        rows = read()
        _write(rows, place)
        object_of_the_first((rows.held_out is not None, rows.trained_share, rows.packing_strategy, rows.contents))
        wait_for_all()
        shutil.rmtree(place)
        return rows
    held, share, strategy, contents = object_of_the_first(None)
    train, held_out = _mapped(place / "train.arrow"), _mapped(place / "held_out.arrow") if held else None
    wait_for_all()
    return Rows(None, train, held_out, None, share, strategy, contents)


def _write(rows: Rows, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=FOLDER_MODE)
    for name, data in (("train", rows.train), ("held_out", rows.held_out)):
        if data is not None:
            table = data.data.table
            with pa.OSFile(str(place / f"{name}.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)


def _mapped(path: Path) -> Any:
    return Dataset(MemoryMappedTable.from_file(str(path)))
