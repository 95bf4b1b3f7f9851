"""Ends a rank when another one of its run has ended: what they exchange would not come, and NCCL waits for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from trainer.process.ending import last_words
from trainer.run import exits
from trainer.run.folder import RunFolder
from trainer.run.identity import Process
from trainer.run.ranks import beat, last_beat, of_rank, process_of
from trainer.worker.output.disk_space import record
from trainer.worker.world import World

LOOK_SECONDS = 0.5
SILENT_SECONDS = 60.0
"""Without a heartbeat, after which a rank is said to be frozen: paused by a signal, or in the kernel for good."""


class Siblings:
    """Watchdog that looks twice a second whether every other rank that had come up is still there.

    Args:
        folder: The run, as this rank sees it.
        world: This rank's place.
        alone: Whether no supervisor is left that would say how the run ended.
        leave: Called where one is gone, with the exit code; ends this process.
    """

    def __init__(
        self,
        folder: RunFolder,
        world: World,
        alone: Callable[[], bool],
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._folder, self._world, self._alone, self._leave = folder, world, alone, leave
        self._known: dict[int, Process] = {}
        self._beats: dict[int, tuple[float, int]] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="siblings", daemon=True)

    def __enter__(self) -> Self:
        if self._world.size > 1:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Look no more: every rank has done its work, or this one says how the run ended."""
        self._done.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self.join(LOOK_SECONDS + 1.0)

    def join(self, seconds: float) -> None:
        """Wait for this watchdog to end the process."""
        self._thread.join(seconds)

    def gone(self) -> int | None:
        """Return a rank that had come up and has ended; None while all are there."""
        for rank in range(self._world.size):
            if rank == self._world.rank:
                continue
            known = self._known.get(rank) or process_of(self._folder, rank)
            if known is not None:
                self._known[rank] = known
                if not known.alive():
                    return rank
        return None

    def silent(self) -> int | None:
        """Return a rank whose heart has not beaten in a minute of looks, which nobody was told of; else None.

        Counted in looks, not by the clock: a machine that was asleep silences all of them at once.
        """
        for rank in range(self._world.size):
            now = last_beat(self._folder, rank)
            if rank == self._world.rank or now is None:
                continue
            before = self._beats.get(rank)
            self._beats[rank] = (now, before[1] + 1 if before is not None and before[0] == now else 0)
            if self._beats[rank][1] * LOOK_SECONDS == SILENT_SECONDS:
                return rank
        return None

    def _watch(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            beat(self._folder)
            if (silent := self.silent()) is not None and self._world.first:
                with suppress(OSError):
                    self._warn(silent)
            if (rank := self.gone()) is None or self._done.is_set():
                continue
            if self._world.first and self._alone():
                # A full disk must not keep the ranks.
                with suppress(OSError):
                    self._say(rank)
            self._leave(exits.ANOTHER_RANK)

    def _warn(self, rank: int) -> None:
        record(
            self._folder,
            "warning",
            message=f"Rank {rank} has been silent for {SILENT_SECONDS:.0f} s and its process is still there: it is "
            "frozen, and the others wait for it.",
            remedy=f"Let it go on, or end the run with `lora-wizard stop {self._folder.argument} --now` and resume it.",
        )

    def _say(self, rank: int) -> None:
        said = last_words(of_rank(self._folder, rank))
        record(
            self._folder,
            "end",
            status="failed",
            reason=f"rank {rank} has ended" + (f": {said[0]}" if said else ""),
            remedy=f"`lora-wizard resume {self._folder.argument}` continues from the last checkpoint.",
            exit_code=exits.ANOTHER_RANK,
        )


def is_because_of_another(error: BaseException) -> bool:
    """Return whether this error, or one that caused it, says that an exchange with another rank has failed."""
    seen: BaseException | None = error
    while seen is not None:
        said = str(seen)
        if type(seen).__module__.startswith("torch") and "Dist" in type(seen).__name__:
            return True
        if isinstance(seen, RuntimeError) and any(word in said for word in ("gloo", "Gloo", "NCCL", "ncclRemote")):
            return True
        seen = seen.__cause__
    return False
