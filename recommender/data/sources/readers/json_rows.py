"""JSON files: an array of objects, one object a line, or an object that holds an array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from presets.errors import InputError
from recommender.config.data_paths import format_of
from recommender.data.rows import BadRow, kind
from recommender.data.sources.readers.base import Raw, Reader, excerpt, explain, in_list
from recommender.data.sources.readers.bytefile import ByteFile
from recommender.data.sources.readers.json_stream import JsonStream

SPLIT_NAMES = ("train", "training", "data", "rows", "examples", "conversations", "instances")
"""Names under which files wrap their rows, in order of preference."""


def open_json(source: ByteFile, *, split: str | None = None) -> Reader:
    """The reader for a file by its first characters, whatever its suffix.

    Raises:
        InputError: It is neither an array nor objects.
    """
    head = source.text(_whole_characters(source.at(source.first, source.first + 4096)), source.first).lstrip()
    if not head:
        if not any(content.strip() for _, _, content in source.lines()):
            raise InputError(f"{source.path} holds only blanks.", remedy="Give a file with at least one row.")
        return JsonLines(source)
    if head[0] == "[":
        return JsonArray(source, key=None)
    if head[0] == "{" and not _first_line_is_a_row(source):
        return _wrapped(source, split)
    return JsonLines(source)


def _whole_characters(data: bytes) -> bytes:
    """Without a last character that the cut has broken."""
    end = len(data)
    while end and len(data) - end < 3 and data[end - 1] & 0xC0 == 0x80:
        end -= 1
    return data[: end - 1] if end and data[end - 1] >= 0xC0 else data


def _first_line_is_a_row(source: ByteFile) -> bool:
    """Whether the first line is a whole object with no array of objects for its only rows."""
    lines = (line for line in source.lines() if line[2].strip())
    _, start, content = next(lines)
    try:
        value = json.loads(source.text(content, start))
    except (ValueError, RecursionError):
        # Only an opening bracket, or the start of a pretty-printed object, continues on the next line.
        return not content.strip().endswith((b"{", b"[", b","))
    alone = format_of(source.path) == "json" and next(lines, None) is None
    return not (alone and isinstance(value, dict) and any(map(_holds_rows, value.values())))


def _holds_rows(held: Any) -> bool:
    """Whether a value is a list of rows, and not the turns of one conversation."""
    if not (isinstance(held, list) and held and isinstance(held[0], dict)):
        return False
    return not ({"role", "from"} & held[0].keys())


def _wrapped(source: ByteFile, split: str | None) -> Reader:
    """An object over several lines: find the array of rows in it."""
    stream = JsonStream(source)
    keys: list[str] = []
    for key, holds_rows in stream.object_keys(_holds_rows):
        keys += [key] if holds_rows else []
        if keys and key == (split or SPLIT_NAMES[0]):
            # What stands behind it, perhaps gigabytes, changes nothing.
            break
    if split is not None and split in keys:
        return JsonArray(source, key=split)
    if split is not None:
        raise InputError(
            f"{source.path} holds no list of rows called '{split}'.",
            remedy=f"It holds: {', '.join(keys)}." if keys else "It holds no list of rows at all.",
        )
    if not keys:
        return JsonArray(source, key=None)
    named = [name for name in SPLIT_NAMES if name in keys]
    if len(keys) > 1 and not named:
        raise InputError(
            f"{source.path} holds several lists of rows: {', '.join(keys)}.",
            remedy=f"Say which: data.train: [{{path: {source.path}, split: {keys[0]}}}].",
        )
    return JsonArray(source, key=named[0] if named else keys[0])


class JsonLines:
    """One object a line; blank lines are passed over, a line that is no object is a bad row."""

    def __init__(self, source: ByteFile) -> None:
        self.source = source
        self.path = source.path
        self.note = "one object a line" if ".jsonl" not in source.path.name else ""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.source.size

    def rows(self) -> Iterator[Raw | BadRow]:
        """Every line that is not blank."""
        for line, start, content in self.source.lines():
            if not content.isspace():
                yield self.row(line, start, content)

    def row(self, line: int, start: int, content: bytes) -> Raw | BadRow:
        """The row of one line that is not blank."""
        text = self.source.text(content, start)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            return BadRow(str(self.path), line, f"is not valid JSON: {explain(error)}", excerpt(text))
        if isinstance(value, dict):
            return Raw(value, start, start + len(content), line)
        return BadRow(str(self.path), line, f"is {kind(value)}, not an object", excerpt(text))

    def read(self, start: int, end: int) -> dict[str, Any]:
        """The object that stands there."""
        return _read_object(self.source, start, end)


class JsonArray:
    """An array of objects, alone or under a key; read as a stream, never as a whole."""

    def __init__(self, source: ByteFile, key: str | None) -> None:
        self.source = source
        self.path = source.path
        self.key = key
        self.note = f"rows under '{key}'" if key else ""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.source.size

    def rows(self) -> Iterator[Raw | BadRow]:
        """Every element; one that is no object is a bad row.

        Raises:
            InputError: The JSON is broken; says the line and how it starts.
        """
        before = 0
        for count, (value, start, end, line) in enumerate(JsonStream(self.source).elements(self.key), 1):
            number = count if line == before else 0
            before = line
            if isinstance(value, dict):
                yield Raw(value, start, end, line, number)
            else:
                shown = excerpt(json.dumps(value, ensure_ascii=False)[:200])
                yield BadRow(str(self.path), line, f"is {kind(value)}, not an object{in_list(number)}", shown)

    def read(self, start: int, end: int) -> dict[str, Any]:
        """The object that stands there."""
        return _read_object(self.source, start, end)


def _read_object(source: ByteFile, start: int, end: int) -> dict[str, Any]:
    value = json.loads(source.at(start, end))
    if not isinstance(value, dict):
        raise InputError(f"{source.path} was changed while it was being read.", remedy="Open it again.")
    return value
