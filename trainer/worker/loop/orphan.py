"""Keeps state.json up to date when the supervisor is gone and the worker, or its first rank, goes on alone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from trainer.history.tail import Tail
from trainer.process.ending import run_on_end
from trainer.run.events import HEARTBEAT_SECONDS
from trainer.run.folder import RunFolder
from trainer.run.identity import Process
from trainer.run.state import fold, read_state, write_state
from trainer.worker.world import supervisor_pid, this


class Orphan:
    """Watchdog that polls the parent every two seconds and, once it is dead, folds the events and writes the state.

    Args:
        folder: The run.
        parent: Gives the supervisor's pid now; a process whose parent died is adopted and gets another.
        every: Seconds between two looks.
    """

    def __init__(
        self, folder: RunFolder, parent: Callable[[], int] | None = None, every: float = HEARTBEAT_SECONDS
    ) -> None:
        self._folder = folder
        self._parent = parent or _supervisor()
        self._born_to = parent() if parent else supervisor_pid()
        self._every = every
        self._tail = Tail(folder.events)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="orphan", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the last state too and run the person's command, where nobody else does."""
        self._left.set()
        self._thread.join()
        self._beat()
        if self.alone and not self._folder.rank and (state := read_state(self._folder)).ended:
            run_on_end(self._folder, state)

    @property
    def alone(self) -> bool:
        """True once the supervisor is gone."""
        return self._parent() != self._born_to

    def _watch(self) -> None:
        while not self._left.wait(self._every):
            self._beat()

    def _beat(self) -> None:
        if self._folder.rank or not self.alone:
            return
        state = read_state(self._folder)
        for document in self._tail.documents():
            state = fold(state, document)
        # A full disk or a removed folder must not end the training: the next beat tries again.
        with suppress(OSError):
            write_state(self._folder, replace(state, heartbeat=time.time()))


def _supervisor() -> Callable[[], int]:
    """Return the function that gives the supervisor's pid, and another number once it has gone."""
    if not this().launched:
        return os.getppid
    known = Process.of(supervisor_pid())
    return lambda: known.pid if known is not None and known.alive() else 0
