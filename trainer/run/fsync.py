"""Bringing what was appended to a file to the disk: at once, or beside the writer, who does not wait for it."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path


class Syncer:
    """A thread that brings files to the disk, each time it is asked to.

    What is written while it is busy is brought by its next round, so that a power cut costs what was written within
    one round: a step's event, where steps take longer than the disk.
    """

    def __init__(self) -> None:
        self._wanted: set[Path] = set()
        self._asked = threading.Condition()
        self._thread: threading.Thread | None = None

    def soon(self, path: Path) -> None:
        """Bring a file to the disk, some milliseconds from now."""
        with self._asked:
            self._wanted.add(path)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="sync", daemon=True)
                self._thread.start()
            self._asked.notify()

    def _work(self) -> None:
        while True:
            with self._asked:
                self._asked.wait_for(lambda: self._wanted)
                paths, self._wanted = self._wanted, set()
            for path in paths:
                now(path)


def now(path: Path) -> None:
    """Bring a file to the disk; a file system that cannot, or a file that is gone, is no trouble here."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


_syncer = Syncer()


def soon(path: Path) -> None:
    """Bring a file to the disk without waiting for it."""
    _syncer.soon(path)


def _begin_anew() -> None:
    """A forked child has none of its parent's threads, and may have a lock that one of them held."""
    global _syncer
    _syncer = Syncer()


os.register_at_fork(after_in_child=_begin_anew)
