"""Standard output and error in whatever encoding they have: a sign that it lacks is replaced, and ends no command."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tui.terminal.ascii import charset, in_text

REPLACED: Final = "lora-wizard-replaced"
"""Name of the error handler, as codecs know it."""


def require_utf8_names() -> None:
    """Start this program again in Python's UTF-8 mode where the locale has another encoding.

    There, names of files would be read as that encoding's and not be what they are to a child or on another terminal,
    and libraries would read their files in it (https://docs.python.org/3/library/os.html#utf8-mode). What is printed
    keeps the locale's encoding.
    """
    if sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8" or sys.stdout is None:
        return
    try:
        # The bytes that were given: what the C library read from them may not be what Python's codec would write.
        given = Path("/proc/self/cmdline").read_bytes().split(b"\0")[1:-1]
    except OSError:
        return
    environment = os.environb | {b"PYTHONIOENCODING": sys.stdout.encoding.encode("ascii")}
    os.execve(sys.executable, [os.fsencode(sys.executable), b"-X", b"utf8", *given], environment)


def fit_streams(environment: Mapping[str, str] = os.environ, *, ascii_only: bool = False) -> None:
    """Make stdout and stderr replace what their encoding lacks, and stdin what is not of its own.

    Args:
        environment: The locale.
        ascii_only: Whether nothing but ASCII may be written (`--no-unicode`).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="ascii" if ascii_only else _encoding(stream, environment), errors=REPLACED)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=_encoding(sys.stdin, environment), errors="replace")


def print_json(document: Any) -> None:
    """Print one JSON document to stdout and nothing else; in another encoding than UTF-8 its signs are escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    try:
        text.encode(sys.stdout.encoding if sys.stdout.encoding == "utf-8" else "ascii")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2, allow_nan=False, default=str)
    sys.stdout.write(text + "\n")


def print_path(path: Path) -> None:
    """Print a path as a line of its own: its very bytes for a program, readable signs on a terminal."""
    if sys.stdout.isatty():
        print(path)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(os.fsencode(path) + b"\n")
        sys.stdout.buffer.flush()


def _encoding(stream: io.TextIOWrapper, environment: Mapping[str, str]) -> str:
    """Encoding of the stream, or the locale's for a terminal: one that is not installed leaves Python with UTF-8."""
    named = charset(environment)
    return named if named and stream.isatty() and codecs.lookup(stream.encoding).name == "utf-8" else stream.encoding


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(in_text, error.object[error.start : error.end])), error.end


codecs.register_error(REPLACED, _replaced)
