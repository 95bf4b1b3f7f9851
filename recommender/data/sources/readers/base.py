"""The interface of every reader."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from recommender.data.rows import BadRow


class Raw(NamedTuple):
    """One row as it stands in its file."""

    values: dict[str, Any]
    start: int
    """Its start: a byte (of the unpacked file), or the row number in a Parquet file."""
    end: int
    """Its end, exclusive, in the same unit."""
    line: int
    """1-based line it starts on, or row number in a Parquet file."""
    number: int = 0
    """Number from 1 in a JSON array of which several rows begin on one line; else 0."""


class Reader(Protocol):
    """Rows of one file."""

    path: Path
    note: str
    """The way in which the file was read, where there was a choice; empty otherwise."""

    @property
    def size(self) -> int:
        """End of the last row, in the unit of `Raw.end`: for progress."""
        ...

    def rows(self) -> Iterator[Raw | BadRow]:
        """Every row once, in order, bad ones in their place.

        Raises:
            InputError: The file as a whole cannot be read.
        """
        ...

    def read(self, start: int, end: int) -> dict[str, Any]:
        """The row that stands there, as `rows` gave it.

        Raises:
            InputError: The file has changed since.
        """
        ...


def is_empty(values: dict[str, Any]) -> bool:
    """Whether all cells of a row are empty, as spreadsheets leave rows at their end."""
    return all(value is None or (isinstance(value, str) and not value.strip()) for value in values.values())


def in_list(number: int) -> str:
    """A clause that names the row of a list, where its line does not tell; see `Raw.number`."""
    return f" (row {number} of the list)" if number else ""


def explain(error: ValueError | RecursionError) -> str:
    """The fault of invalid JSON: its reader's own words with the column, ours where those are about Python."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    # Python's limit on converting text to whole numbers is all that its JSON reader lets through.
    return f"it holds a whole number of more than {sys.get_int_max_str_digits()} digits"


def excerpt(text: str, limit: int = 80) -> str:
    """The start of a line for a message: one line, control characters visible."""
    shown = text[: limit + 1].rstrip("\r\n")
    shown = "".join(character if character.isprintable() else "·" for character in shown)
    return shown[:limit] + "…" if len(shown) > limit else shown
