"""Lines on stderr that say how far a download, a trace or the reading of data is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

REPORT_SECONDS = 0.25
Progress = Callable[[str, int, int], None]
"""Called with the activity, done and total (bytes or items; 0 when unknown)."""


@contextmanager
def download_line(stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """Give a progress function that rewrites one line in a terminal, and prints each new stage elsewhere."""
    from recommender.units import gib

    live = stream.isatty()
    stage, drawn_at = "", 0.0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal stage, drawn_at
        now = clock()
        if what == stage and (not live or now - drawn_at < REPORT_SECONDS):
            return
        if live and stage and what != stage:
            stream.write("\n")
        stage, drawn_at = what, now
        amount = f"  {gib(done)} of {gib(total)}" if total > 1 and done else ""
        stream.write(f"\r\x1b[K{what}{amount}" if live else f"{what}{amount}\n")
        stream.flush()

    yield progress
    if live and stage:
        stream.write("\n")


@contextmanager
def share_line(stream: TextIO) -> Iterator[Progress]:
    """Give a progress function for work that is counted in steps: one line that is rewritten, or a line a stage."""
    live = stream.isatty()
    stage = ""

    def progress(what: str, done: int, total: int) -> None:
        nonlocal stage
        if what == stage and not live:
            return
        stage = what
        share = f"  {done / total * 100:.0f} %" if total > 1 else ""
        stream.write(f"\r\x1b[Ktracing: {what}{share}" if live else f"tracing: {what} …\n")
        stream.flush()

    yield progress
    if live and stage:
        stream.write("\r\x1b[K")
        stream.flush()


class DataLine:
    """Shows the progress of reading data: a line rewritten in a terminal; elsewhere each file that is fetched."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._live = stream.isatty()
        self._drawn_at: float | None = None
        self._file = ""

    def read(self, done: int, total: int) -> None:
        """Rows done and rows in all, about."""
        from recommender.units import count

        self._draw(f"{count(done)} of about {count(total)} rows")

    def compared(self, done: int, total: int) -> None:
        """Rows compared with one another and rows in all."""
        from recommender.units import count

        self._draw(f"looking for near-duplicates: {count(done)} of {count(total)} rows")

    def fetched(self, name: str, done: int, total: int) -> None:
        """A file of the hub, bytes done and bytes in all."""
        from recommender.units import gib

        if not self._live and name and name != self._file:
            self._stream.write(f"fetching {name}\n")
        self._file = name
        if total:
            self._draw(f"fetching {name}  {gib(done)} of {gib(total)}")

    def _draw(self, text: str) -> None:
        now = self._clock()
        if self._live and (self._drawn_at is None or now - self._drawn_at >= REPORT_SECONDS):
            self._drawn_at = now
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()

    def __enter__(self) -> DataLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn_at is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
