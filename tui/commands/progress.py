"""A line on stderr that says how far a download is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

Progress = Callable[[str, int, int], None]
"""What is being done, done and total (bytes or items; 0 when unknown)."""


@contextmanager
def download_line(stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """Give a progress function that rewrites one line in a terminal, and prints each new stage elsewhere."""
    from recommender.units import gib

    live = stream.isatty()
    stage, drawn_at = "", 0.0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal stage, drawn_at
        now = clock()
        if what == stage and (not live or now - drawn_at < 0.25):
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
