"""Conversations from rows with one message each: neighbouring rows with the same value in one column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.data.rows import BadRow
from recommender.data.sources.readers.base import Raw, Reader

MESSAGES = "messages"
"""Column under which a conversation's rows stand; the others are those of its first row."""


class GroupedReader:
    """Conversations out of a reader of messages.

    Args:
        reader: Gives a message a row.
        group: The column that says which conversation it is of.
    """

    def __init__(self, reader: Reader, group: str) -> None:
        self._reader = reader
        self._group = group
        self._parts: dict[int, list[tuple[int, int]]] = {}
        self.path: Path = reader.path
        self.note = f"rows with the same '{group}' are one conversation"

    @property
    def size(self) -> int:
        """As the reader of messages has it."""
        return self._reader.size

    def rows(self) -> Iterator[Raw | BadRow]:
        """Every conversation once; a row that cannot be read stands in its place.

        Raises:
            InputError: A conversation goes on behind another one.
        """
        seen: set[Any] = set()
        held: list[Raw] = []
        for row in self._reader.rows():
            if isinstance(row, BadRow):
                yield row
                continue
            if held and row.values.get(self._group) != held[0].values.get(self._group):
                yield self._put_together(held)
                held = []
            if not held:
                self._meet(row, seen)
            held.append(row)
        if held:
            yield self._put_together(held)

    def _meet(self, row: Raw, seen: set[Any]) -> None:
        key = str(row.values.get(self._group))
        if key in seen:
            raise InputError(
                f"{self.path}, line {row.line}: the conversation '{key}' goes on behind another one.",
                remedy=f"Sort the file by '{self._group}', so that each conversation's rows stand together.",
            )
        seen.add(key)

    def _put_together(self, rows: list[Raw]) -> Raw:
        self._parts[rows[0].start] = [(row.start, row.end) for row in rows]
        values = {**rows[0].values, MESSAGES: [row.values for row in rows]}
        return Raw(values, rows[0].start, rows[-1].end, rows[0].line, rows[0].number)

    def read(self, start: int, end: int) -> dict[str, Any]:  # noqa: ARG002
        """The conversation that begins there."""
        if not self._parts:
            # Its rows were counted by another process, or before.
            for _ in self.rows():
                pass
        parts = [self._reader.read(*place) for place in self._parts.get(start, ())]
        if not parts:
            raise InputError(f"{self.path} was changed while it was being read.", remedy="Open it again.")
        return {**parts[0], MESSAGES: parts}
