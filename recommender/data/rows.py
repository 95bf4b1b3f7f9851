"""Rows that cannot be used, and the names of JSON types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used."""

    file: str
    line: int
    """1-based line (JSONL, CSV) or row number (JSON, Parquet)."""
    reason: str
    start: str = ""
    """The first characters of the line."""


def kind(value: Any) -> str:
    """The type of a JSON value in words; for a type that only Parquet has, its name."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
    other = "null" if value is None else f"of the type {type(value).__name__}"
    return names.get(type(value), "an object" if isinstance(value, dict) else other)
