"""A file with random access to its bytes, compressed or not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from presets.errors import InputError
from recommender.data.sources.readers.base import excerpt

LONGEST_LINE = 128 * 1024 * 1024
"""Bytes. A longer line is not a row of text for a language model: most likely a file without line ends."""
_BLOCK = 1024 * 1024
_SPARE = 512 * 1024 * 1024
"""Bytes of the temporary disk that unpacking leaves free; of a small one a tenth."""
_BYTE_ORDER_MARKS = ((b"\xff\xfe\x00\x00", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


PACKED = (".gz", ".zst")
CheckCancelled = Callable[[], None]
"""Called between blocks of long work; raises to end it."""


class ByteFile:
    """An open file, unpacked into an unnamed temporary file when it is compressed.

    Args:
        path: The file.
        upto: Unpack no more than so many bytes, to the last whole line; `size` is then what all would likely be.
        check_cancelled: Called while it is unpacked.

    Raises:
        InputError: It cannot be opened or unpacked, is empty, or is not a regular file.
    """

    def __init__(self, path: Path, *, upto: int | None = None, check_cancelled: CheckCancelled | None = None) -> None:
        self.path = path
        try:
            if not path.is_file():
                raise InputError(f"{path} is not a regular file.", remedy="Give a file of rows.")
            if path.suffix.lower() in PACKED:
                self._file, part = _unpacked(path, upto, check_cancelled or (lambda: None))
            else:
                self._file, part = path.open("rb"), 1.0
            self._held = os.fstat(self._file.fileno()).st_size
            self.size = round(self._held / part)
            self.whole = part == 1.0
        except OSError as error:
            raise _unreadable(path, error) from error
        self._modified = os.fstat(self._file.fileno()).st_mtime_ns
        if not self.size:
            raise InputError(f"{path} is empty.", remedy="Give a file with at least one row.")
        self.first = 3 if self.at(0, 3) == b"\xef\xbb\xbf" else 0
        """The start of the text, behind the byte order mark that some editors write."""

    @property
    def packed(self) -> bool:
        """Whether it was unpacked to be read."""
        return self.path.suffix.lower() in PACKED

    @property
    def handle(self) -> BinaryIO:
        """The open file; unpacked where it is packed."""
        return self._file

    def require_unchanged(self) -> None:
        """Check that the file is the one that was opened.

        Raises:
            InputError: It was changed.
        """
        now = os.fstat(self._file.fileno())
        if now.st_size != self._held or now.st_mtime_ns != self._modified:
            raise InputError(f"{self.path} was changed while it was being read.", remedy="Open it again.")

    def at(self, start: int, end: int) -> bytes:
        """The bytes from start to end.

        Raises:
            InputError: The disk failed, or the file was changed since it was opened.
        """
        try:
            self.require_unchanged()
            return os.pread(self._file.fileno(), end - start, start)
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def blocks(self, start: int, size: int = _BLOCK) -> Iterator[bytes]:
        """The file from start, a mebibyte at a time."""
        while block := self.at(start, start + size):
            yield block
            start += len(block)

    def lines(
        self, start: int | None = None, line: int = 1, block_size: int = _BLOCK
    ) -> Iterator[tuple[int, int, bytes]]:
        """Line number (from 1), byte where it starts and its bytes with the line end.

        Args:
            start: Where to begin; the start of the text when None.
            line: Number of the line there.
            block_size: Bytes that are read at a time.

        Raises:
            InputError: A line is longer than LONGEST_LINE.
        """
        position = self.first if start is None else start
        pieces: list[bytes] = []
        held = 0
        for block in self.blocks(position, block_size):
            *whole, rest = block.split(b"\n")
            for part in whole:
                content = b"".join([*pieces, part, b"\n"])
                yield line, position, content
                line, position = line + 1, position + len(content)
                pieces, held = [], 0
            pieces.append(rest)
            held += len(rest)
            if held > LONGEST_LINE:
                raise self._endless(line, pieces[0])
        if held:
            yield line, position, b"".join(pieces)

    def _endless(self, line: int, head: bytes) -> InputError:
        return InputError(
            f"{self.path}: line {line} is longer than {LONGEST_LINE // 2**20} MiB; it starts: "
            f"{excerpt(head[:200].decode('utf-8', 'replace'))}",
            remedy="Put one row on a line, or name the file .json when it is one JSON array.",
        )

    def text(self, data: bytes, start: int) -> str:
        """Bytes of this file as text.

        Args:
            data: The bytes.
            start: Where in the file they stand, for the message.

        Raises:
            InputError: They are not UTF-8; says at which byte, and what to do.
        """
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.not_utf8(start + error.start, data[error.start]) from error

    def not_utf8(self, position: int, byte: int) -> InputError:
        """The error of a file in another encoding: its position, and the command that converts the file."""
        head = self.at(0, 4)
        encoding = next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), None)
        guess = encoding or "WINDOWS-1252"
        looks = f" (it starts like {encoding})" if encoding else ""
        return InputError(
            f"{self.path} is not UTF-8: byte 0x{byte:02x} at offset {position} fits no character{looks}.",
            remedy=f"Convert it, for example: iconv -f {guess} -t UTF-8 {self.path.name} > utf8-{self.path.name}",
        )


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path} cannot be read: {error.strerror or error}.",
        remedy="Check its permissions (ls -l) and that the disk is mounted.",
    )


def _unpacked(path: Path, upto: int | None, check_cancelled: CheckCancelled) -> tuple[BinaryIO, float]:
    """Unpack into a temporary file that has no name, so that nothing stays behind.

    Returns:
        The file, and about what part of the whole it is.
    """
    import gzip
    import zlib

    target = tempfile.TemporaryFile()  # noqa: SIM115
    part = 1.0
    try:
        with path.open("rb") as packed, _opened(packed, path) as source:
            while block := source.read(min(_BLOCK, upto or _BLOCK)):
                check_cancelled()
                disk = shutil.disk_usage(tempfile.gettempdir())
                if disk.free < min(_SPARE, disk.total // 10):
                    target.close()
                    raise InputError(
                        f"{path} unpacks to more than the disk of {tempfile.gettempdir()} has room for.",
                        remedy="Set TMPDIR to a larger disk, or unpack it there yourself and give the file.",
                    )
                target.write(block)
                if upto is not None and target.tell() >= upto:
                    target.truncate(target.tell() - len(block) + block.rfind(b"\n") + 1)
                    part = min(1.0, packed.tell() / path.stat().st_size)
                    break
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path} cannot be unpacked: {error}.", remedy="It is damaged or not finished: copy it again."
        ) from error
    target.flush()
    return target, part


def _opened(packed: BinaryIO, path: Path) -> BinaryIO:
    if path.suffix.lower() == ".gz":
        import gzip

        return cast("BinaryIO", gzip.GzipFile(fileobj=packed))
    import pyarrow as pa

    stream: BinaryIO = pa.CompressedInputStream(pa.PythonFile(packed, "r"), "zstd")
    return stream
