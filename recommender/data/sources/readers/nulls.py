"""Removal of the nulls that Arrow puts into structs, so that rows equal those of JSON.

A struct has the keys of all rows: what one row lacks and another has is null in it. In JSON lines such a key is not
there, and a chat template would write its null into the tokens. So below a row's own columns a null is an absent key.
"""

from __future__ import annotations

from typing import Any


def without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """A row of Arrow or Parquet whose nested objects lack the keys that are null.

    Args:
        row: Column to value; a column that is null stays.
    """
    return {column: _stripped(value) for column, value in row.items()}


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(held) for key, held in value.items() if held is not None}
    return [_stripped(held) for held in value] if isinstance(value, list) else value
