"""Incremental reading of a growing file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

MANY: Final = 1000
"""Lines from which another parser is worth its import."""


@dataclass
class Tail:
    """The new complete lines of an append-only file. A torn last line waits for its end; a bad line is left out."""

    path: Path
    offset: int = 0
    _rest: bytes = field(default=b"", repr=False)

    def lines(self, most: int = -1) -> list[bytes]:
        """Lines appended since the last call, whole ones only; the file may not exist yet.

        Args:
            most: Bytes that are read at once; all of them when negative.
        """
        try:
            with self.path.open("rb") as stream:
                if stream.seek(0, 2) < self.offset:
                    # Replaced by a shorter file: start over.
                    self.offset, self._rest = 0, b""
                stream.seek(self.offset)
                fresh = stream.read(most)
        except OSError:
            return []
        self.offset += len(fresh)
        *whole, self._rest = (self._rest + fresh).split(b"\n")
        return whole

    def documents(self, most: int = -1) -> list[dict[str, Any]]:
        """The objects among the new lines."""
        lines = self.lines(most)
        found = _all_at_once(lines) if len(lines) >= MANY else None
        return [document for document in (_each(lines) if found is None else found) if isinstance(document, dict)]


def _all_at_once(lines: list[bytes]) -> list[Any] | None:
    """Parse lines as one JSON array with pydantic, in a quarter of the time; None if a line is damaged."""
    from pydantic_core import from_json

    try:
        found: list[Any] = from_json(b"[" + b",".join(lines) + b"]")
    except ValueError:
        return None
    # A line that holds a comma between two values would be two.
    return found if len(found) == len(lines) else None


def _each(lines: list[bytes]) -> Iterator[Any]:
    for line in lines:
        with suppress(ValueError):
            yield json.loads(line)


def last_lines(path: Path, count: int, most_bytes: int = 65_536) -> tuple[str, ...]:
    """The last lines of a text file, none when it is not there. A progress bar's carriage returns end lines too."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - most_bytes))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(line for line in text.replace("\r", "\n").split("\n") if line.strip())[-count:]
