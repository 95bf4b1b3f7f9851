"""Work for a step as its thread sees it: progress with the time that is left, and results before it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tui.wizard.state import Progress

if TYPE_CHECKING:
    from typing import Unpack

    from tui.terminal.task import Run
    from tui.wizard.state import Changes


class Pace:
    """Estimates the time that is left from how much was done since the work began.

    A change of the unit (bytes of a download, then rows) begins anew: what was done before says nothing of it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._unit, self._before = "rows", 0

    def timed(self, progress: Progress) -> Progress:
        """Return the progress with `seconds_left`, which stays None where it cannot be estimated."""
        now = self._clock()
        if progress.unit != self._unit:
            self._unit, self._began, self._before = progress.unit, now, progress.done
        done, to_do = progress.done - self._before, progress.total - progress.done
        left = (now - self._began) * to_do / done if done > 0 and to_do > 0 else None
        return replace(progress, seconds_left=left)


class StepRun:
    """One run of the work for a step; its methods are called from its thread.

    Attributes:
        stopped: Whether the work should end.
    """

    def __init__(self, run: Run, what: str, on_changes: Callable[[Changes], None]) -> None:
        self.stopped = run.stopped
        self._run = run
        self._what = what
        self._on_changes = on_changes

    def progress(self, done: int, total: int) -> None:
        """Report rows done and in all; `total` is 0 where unknown."""
        self._run.progress(Progress(self._what, done, total))

    def doing(self, what: str) -> None:
        """Report what is done now, where nothing of it can be counted."""
        self._run.progress(Progress(what, 0, 0))

    def on_bytes(self, name: str, done: int, total: int) -> None:
        """Report bytes of a download that are here and in all."""
        if name:
            self._run.progress(Progress(f"fetching {name}", done, total, unit="bytes"))

    def publish(self, **changes: Unpack[Changes]) -> None:
        """Change fields of the state by results that are there already."""
        self._run.deliver(self._on_changes, changes)
