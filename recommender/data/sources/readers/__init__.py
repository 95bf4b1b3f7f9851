"""Readers of data files: one row at a time, each with its position, by which it can be read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from presets.errors import InputError
from recommender.config.data_paths import format_of
from recommender.data.sources.readers.base import Raw, Reader

__all__ = ["Raw", "Reader", "open_reader"]


def open_reader(
    path: Path, *, split: str | None = None, upto: int | None = None, check_cancelled: Callable[[], None] | None = None
) -> Reader:
    """The reader for a file, by its suffix and its first character.

    Args:
        path: A data file.
        split: Which list of a JSON object of several lists holds the rows.
        upto: Unpack no more bytes than these of a packed file, for a first look.
        check_cancelled: Called between blocks while a packed file is unpacked; raises to end that.

    Raises:
        InputError: Unknown kind of file, unreadable or empty.
    """
    kind = format_of(path)
    if kind is None:
        raise InputError(
            f"{path} is not a kind of file that rows are read from.",
            remedy="Known are .json, .jsonl, .csv, .tsv, .parquet, .arrow and .txt, also with .gz or .zst behind.",
        )
    if split is not None and kind not in {"json", "jsonl"}:
        raise _no_splits(path, split)
    if kind == "arrow":
        from recommender.data.sources.readers.arrow import ArrowReader

        return ArrowReader(path)
    from recommender.data.sources.readers.bytefile import ByteFile

    if kind == "parquet":
        from recommender.data.sources.readers.parquet import ParquetReader

        # Its end says what is in it, so a part of it cannot be looked at.
        return ParquetReader(ByteFile(path, check_cancelled=check_cancelled))
    source = ByteFile(path, upto=upto, check_cancelled=check_cancelled)
    if kind == "csv":
        from recommender.data.sources.readers.tables import TableReader

        return TableReader(source)
    if kind == "text":
        from recommender.data.sources.readers.plain import PlainReader

        return PlainReader(source)
    from recommender.data.sources.readers.json_rows import open_json

    reader = open_json(source, split=split)
    if split is not None and not reader.note.startswith("rows under"):
        raise _no_splits(path, split)
    return reader


def _no_splits(path: Path, split: str) -> InputError:
    return InputError(
        f"{path} is one list of rows: it has no split '{split}'.", remedy="Give each split as a file of its own."
    )
