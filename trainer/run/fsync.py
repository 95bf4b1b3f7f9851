"""Fsync of appended files: at once, or in a thread beside the writer."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path


class Syncer:
    """A thread that fsyncs files on request.

    What is written while it is busy is brought by its next round, so that a power cut costs what was written within
    one round: a step's event, where steps take longer than the disk.
    """

    def __init__(self) -> None:
        self._wanted: set[Path] = set()
        self._asked = threading.Condition()
        self._thread: threading.Thread | None = None

    def soon(self, path: Path) -> None:
        """Fsync a file some milliseconds from now."""
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
    """Fsync a file; a file that is gone, or whose file system cannot, is passed over."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


_syncer = Syncer()


def soon(path: Path) -> None:
    """Fsync a file without waiting for it."""
    _syncer.soon(path)


def _begin_anew() -> None:
    """Start with no thread and a new lock after a fork: a forked child has none of its parent's threads."""
    global _syncer
    _syncer = Syncer()


os.register_at_fork(after_in_child=_begin_anew)
