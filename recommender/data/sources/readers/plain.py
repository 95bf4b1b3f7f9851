"""Plain text files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recommender.data.rows import BadRow
from recommender.data.sources.readers.base import Raw
from recommender.data.sources.readers.bytefile import ByteFile

_LOOKED_AT = 32 * 1024 * 1024
"""Bytes in which a file of paragraphs has a blank line."""


class PlainReader:
    """A .txt file: each block between blank lines is a row; in a file without blank lines, each line is.

    Corpora with one document a line (as `datasets` reads text) and prose with paragraphs are both common, and blank
    lines tell them apart; `note` says which was taken.
    """

    def __init__(self, source: ByteFile) -> None:
        self.source = source
        self.path = source.path
        self.blocks = any(not content.strip() for _, _, content in self._until_blank())
        self.note = "each block between blank lines is a row" if self.blocks else "each line is a row"

    def _until_blank(self) -> Iterator[tuple[int, int, bytes]]:
        """The first lines, up to the first blank one that text follows."""
        blank: tuple[int, int, bytes] | None = None
        for line in self.source.lines():
            if line[1] > _LOOKED_AT:
                return
            if blank is not None and line[2].strip():
                yield blank
                return
            blank = line if not line[2].strip() and line[1] > self.source.first else blank

    @property
    def size(self) -> int:
        """Bytes."""
        return self.source.size

    def rows(self) -> Iterator[Raw | BadRow]:
        """Every block or line that is not blank, in order."""
        first = start = end = 0
        for line, position, content in self.source.lines():
            blank = not content.strip()
            if end and (blank or not self.blocks):
                yield Raw(self.read(start, end), start, end, first)
                end = 0
            if not blank:
                if not end:
                    first, start = line, position
                end = position + len(content)
        if end:
            yield Raw(self.read(start, end), start, end, first)

    def row(self, line: int, start: int, content: bytes) -> Raw:
        """The row of one line that is not blank, where each line is one."""
        return Raw(self.read(start, start + len(content)), start, start + len(content), line)

    def read(self, start: int, end: int) -> dict[str, Any]:
        """The text between two bytes, without its last line end."""
        return {"text": self.source.text(self.source.at(start, end), start).strip("\r\n")}
