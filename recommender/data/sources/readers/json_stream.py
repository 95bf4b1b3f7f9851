"""Elements of a JSON array without holding the array: text is read as needed and dropped behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from presets.errors import InputError
from recommender.data.sources.readers.base import excerpt, explain
from recommender.data.sources.readers.bytefile import LONGEST_LINE, ByteFile

_BLANK = " \t\r\n"
_DECODER = json.JSONDecoder()


class JsonStream:
    """A window of decoded text that moves over the file."""

    def __init__(self, source: ByteFile) -> None:
        self._source = source
        self._blocks = source.blocks(source.first)
        self._read = source.first
        self._broken_character = b""
        self._text = ""
        self._position = 0
        self._mark = 0  # text before it is counted in the two below, and let go when more is taken in
        self._start_byte = source.first
        self._line = 1
        self._ended = False

    def elements(self, key: str | None) -> Iterator[tuple[Any, int, int, int]]:
        """Each element of the array with its first byte, its end and its line.

        Args:
            key: The array is the value of this key of the outer object; None when it stands alone. An object that
                is no array is its own single element.

        Raises:
            InputError: The JSON is broken, with the line and its start.
        """
        if key is not None:
            self._enter(key)
        if self._peek() != "[":
            yield self._value()
            self._only_blanks()
            return
        self._position += 1
        if self._peek() == "]":
            raise InputError(f"{self._source.path} holds an empty list.", remedy="Give a file with at least one row.")
        while True:
            yield self._value()
            sign = self._peek()
            if sign not in {",", "]"}:
                self._fail("Expecting ',' or ']'", self._position)
            self._position += 1
            if sign == "]":
                break
        if key is None:
            self._only_blanks()

    def object_keys(self, judge: Callable[[Any], bool]) -> Iterator[tuple[str, bool]]:
        """Keys of the outer object with the judgement of each value; of a list that of its first element alone.

        Lists are gone through element by element: one of them may be the rows.
        """
        self._expect("{")
        if self._peek() == "}":
            return
        while True:
            name = self._value()[0]
            self._expect(":")
            yield str(name), judge(self._list_of_first() if self._peek() == "[" else self._value()[0])
            if self._peek() != ",":
                break
            self._position += 1
        self._expect("}")

    def _enter(self, key: str) -> None:
        self._expect("{")
        while self._value()[0] != key:
            self._expect(":")
            if self._peek() == "[":
                self._list_of_first()
            else:
                self._value()
            self._expect(",")
        self._expect(":")

    def _list_of_first(self) -> list[Any]:
        """Go behind a list, and keep its first element."""
        self._expect("[")
        kept: list[Any] = []
        if self._peek() == "]":
            self._position += 1
            return kept
        while True:
            value = self._value()[0]
            kept = kept or [value]
            if self._peek() == "]":
                self._position += 1
                return kept
            self._expect(",")

    def _value(self) -> tuple[Any, int, int, int]:
        self._peek()
        self._count()
        start, line = self._start_byte, self._line
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                if not self._more():
                    self._fail(error.msg, error.pos)
            except (ValueError, RecursionError) as error:
                self._fail(explain(error), self._position)
            else:
                # A number at the end of the window may go on behind it.
                if end < len(self._text) or not self._more():
                    break
        taken = _bytes(self._text[self._position : end])
        self._position = end
        return value, start, start + taken, line

    def _peek(self) -> str:
        """The next sign that is not a blank; '' at the end."""
        while True:
            while self._position < len(self._text) and self._text[self._position] in _BLANK:
                self._position += 1
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._more():
                return ""

    def _expect(self, sign: str) -> None:
        if self._peek() != sign:
            self._fail(f"Expecting '{sign}'", self._position)
        self._position += 1

    def _only_blanks(self) -> None:
        if self._peek():
            self._fail("Extra data behind the end", self._position)

    def _count(self) -> None:
        """Move the mark, with its byte and line, up to the position."""
        passed = self._text[self._mark : self._position]
        self._start_byte += _bytes(passed)
        self._line += passed.count("\n")
        self._mark = self._position

    def _more(self) -> bool:
        """Take in at least as much again as is held, so that a huge element costs linear time."""
        if self._ended:
            return False
        if len(self._text) - self._mark > LONGEST_LINE:
            raise InputError(
                f"{self._source.path}: the value that starts on line {self._line} is longer than "
                f"{LONGEST_LINE // 2**20} MiB; it starts: {excerpt(self._text[self._mark : self._mark + 200])}",
                remedy="Give an array of rows, or one row on a line.",
            )
        wanted, pieces = max(1, len(self._text) - self._mark), []
        while wanted > 0 and not self._ended:
            block = next(self._blocks, b"")
            self._ended = not block
            pieces.append(self._decode(block))
            wanted -= len(block)
        self._text = self._text[self._mark :] + "".join(pieces)
        self._position -= self._mark
        self._mark = 0
        return True

    def _decode(self, block: bytes) -> str:
        data = self._broken_character + block
        start = self._read - len(self._broken_character)
        self._read += len(block)
        self._broken_character = b""
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            if block and error.reason == "unexpected end of data":
                self._broken_character = data[error.start :]
                return data[: error.start].decode("utf-8")
            raise self._source.not_utf8(start + error.start, data[error.start]) from error

    def _fail(self, what: str, position: int) -> NoReturn:
        line = self._line + self._text.count("\n", self._mark, position)
        start = self._text.rfind("\n", 0, position) + 1
        if not self._text[position:].strip() and not self._more():
            raise InputError(
                f"{self._source.path}: invalid JSON: the file ends on line {line} in the middle of a value. "
                f"The line starts: {excerpt(self._text[start : start + 200])}",
                remedy="It was cut off: copy or write it again.",
            )
        raise InputError(
            f"{self._source.path}: invalid JSON at line {line}: {what}. "
            f"The line starts: {excerpt(self._text[start : start + 200])}",
            remedy="Repair that line; `python -m json.tool FILE` shows the same place.",
        )


def value_at(data: bytes) -> tuple[Any, int] | None:
    """The value that bytes begin with, and how many of them it takes; None where they end within it or are no JSON."""
    text = data.decode("utf-8", "ignore")
    try:
        value, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return value, _bytes(text[:end])


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))
