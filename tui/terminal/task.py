"""The one way to do something in a thread: progress, result, error, cancelling, and the newest start wins."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from textual.worker import get_current_worker

from tui.terminal.errors import told_as

if TYPE_CHECKING:
    from textual.worker import Worker

    from presets.errors import WizardError

REPORT_SECONDS = 0.25
"""Seconds between two reports of progress at least."""
Found = TypeVar("Found")


class TaskHost(Protocol):
    """A screen, a widget or an application: starts workers and calls functions in its own thread."""

    def run_worker(self, work: Any, *, thread: bool, group: str, exclusive: bool, exit_on_error: bool) -> object:
        """Run `work` in a worker."""

    def call_later(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
        """Call a function in the own thread; may be called from any thread."""


class Run:
    """One start of a task, as the work in its thread sees it. Its methods may be called from any thread."""

    def __init__(self, host: TaskHost, on_progress: Callable[..., object] | None) -> None:
        self._host = host
        self._on_progress = on_progress
        self._asked_to_end = Event()
        self._cancelled = False
        self._worker: Worker[Any] | None = None
        self._reported = 0.0

    def stopped(self) -> bool:
        """Return whether the work should end: cancelled, superseded, asked to, or its host is gone."""
        return self._asked_to_end.is_set() or (self._worker is not None and self._worker.is_cancelled)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until the work should end; return whether it should."""
        return self._asked_to_end.wait(seconds) or self.stopped()

    def progress(self, *values: Any) -> None:
        """Report how far the work is; at most four reports a second are delivered, the others are dropped."""
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS and self._on_progress is not None:
            self._reported = now
            self.deliver(self._on_progress, *values)

    def deliver(self, callback: Callable[..., object], *values: Any) -> None:
        """Call a function of the host's in the host's thread, unless the task was cancelled or superseded by then."""
        self._host.call_later(self._unless_cancelled, callback, values)

    def _unless_cancelled(self, callback: Callable[..., object], values: tuple[Any, ...]) -> object:
        # What a callback returns may have to be awaited; Textual does so.
        return None if self._cancelled else callback(*values)

    def ask_to_end(self) -> None:
        """Ask the work to end early; what it still reports and finds is delivered."""
        self._asked_to_end.set()

    def cancel(self) -> None:
        """Ask the work to end; nothing of it is delivered any more."""
        self._cancelled = True
        self._asked_to_end.set()


class Task:
    """A kind of background work, of which one run at most is listened to.

    An error of the work's, whatever its kind, is delivered as the sentence that a person is told; unforeseen ones are
    kept in the crash log. An error of a run that was cancelled or superseded is dropped: how it ended is nobody's any
    more.

    Args:
        host: Who waits for it: callbacks are called in its thread, and once it is gone nobody is told.
        name: The workers' group, for debugging.
    """

    def __init__(self, host: TaskHost, name: str) -> None:
        self._host = host
        self._name = name
        self._run: Run | None = None

    @property
    def running(self) -> bool:
        """Whether a run is going on whose end will be told."""
        return self._run is not None

    def runs(self, run: Run) -> bool:
        """Return whether this run is the one that is going on."""
        return self._run is run

    def start(
        self,
        work: Callable[[Run], Found],
        done: Callable[[Found], object],
        failed: Callable[[WizardError], object],
        *,
        progress: Callable[..., object] | None = None,
        after: float = 0.0,
    ) -> Run:
        """Start the work in a thread; a run that is going on is superseded.

        Args:
            work: Called in the thread.
            done: Given what the work returns.
            failed: Given what a person is told of the work's error.
            progress: Given what the work reports by `Run.progress`.
            after: Seconds to wait before the work: a run that is superseded meanwhile does none.
        """
        self.cancel()
        run = Run(self._host, progress)
        self._run = run

        def in_thread() -> None:
            run._worker = get_current_worker()
            if after:
                run.wait(after)
                if run._cancelled:
                    return
            try:
                found = work(run)
            except BaseException as error:  # A panic of Rust's (tokenizers, safetensors) is no Exception.
                if not (run._cancelled or run._worker.is_cancelled):
                    run.deliver(self._ended, run, failed, told_as(error))
            else:
                run.deliver(self._ended, run, done, found)

        self._host.run_worker(in_thread, thread=True, group=self._name, exclusive=False, exit_on_error=False)
        return run

    def _ended(self, run: Run, callback: Callable[[Any], object], value: object) -> object:
        if self._run is run:
            self._run = None
        return callback(value)

    def ask_to_end(self) -> None:
        """Ask the run to end early; its result is still delivered."""
        if self._run is not None:
            self._run.ask_to_end()

    def cancel(self) -> bool:
        """End the run without listening to it any more; return whether there was one."""
        run, self._run = self._run, None
        if run is not None:
            run.cancel()
        return run is not None


class Failures:
    """Failures of something that is done again and again: what comes each time is kept in the log once."""

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None
        self._told: WizardError | None = None

    def take(self, error: BaseException | None) -> WizardError | None:
        """Return the error to tell the person, None for none; the very same object while the failure stays the same."""
        last = None if error is None else (type(error).__name__, str(error))
        if last != self._last:
            self._last, self._told = last, None if error is None else told_as(error)
        return self._told
