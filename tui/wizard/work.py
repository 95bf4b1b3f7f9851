"""Work for a step, done in a thread: the newest wins, it says how far it is, and it can be cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual.message import Message

from tui.widgets.top_bar import Step
from tui.wizard.state import Progress

if TYPE_CHECKING:
    from presets.errors import WizardError
    from tui.wizard.flow_host import FlowHost

REPORT_SECONDS = 0.25
"""At most four reports a second."""


class Told(Message):
    """How far the work for a step is."""

    def __init__(self, job: Job, progress: Progress) -> None:
        super().__init__()
        self.job = job
        """Who says so."""
        self.progress = progress
        """How far."""

    def can_replace(self, message: Message) -> bool:
        """Only the newest report is worth showing."""
        return isinstance(message, Told) and message.job is self.job


class Learnt(Message):
    """What a piece of work knows already, before it has ended."""

    def __init__(self, job: Job, changes: Mapping[str, Any]) -> None:
        super().__init__()
        self.job = job
        """Whose work."""
        self.changes = changes
        """Fields of the state and their new values."""


class Done(Message):
    """The work for a step has ended."""

    def __init__(self, job: Job, changes: Mapping[str, Any], error: WizardError | None) -> None:
        super().__init__()
        self.job = job
        """Whose work."""
        self.changes = changes
        """Fields of the state and their new values."""
        self.error = error
        """Why it failed; None when it did not."""


class Job:
    """One piece of work.

    Attributes:
        step: The step that it is for.
        what: What is being done, as the screen says it.
    """

    def __init__(self, app: FlowHost, step: Step, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.step = step
        self.what = what
        self._app = app
        self._clock = clock
        self._began = clock()
        self._reported = 0.0
        self._stopped = False
        self._unit, self._before = "rows", 0

    def stop(self) -> None:
        """Ask it to end; whatever it still says is not listened to."""
        self._stopped = True

    def stopped(self) -> bool:
        """Whether it should end."""
        return self._stopped

    def told(self, done: int, total: int) -> None:
        """Say how far it is; called from the thread, passed on at most four times a second."""
        self._tell(Progress(self.what, done, total))

    def fetched(self, name: str, done: int, total: int) -> None:
        """Say how far a download is, as `told`; what comes after it is counted from its end."""
        if name:
            self._tell(Progress(f"fetching {name}", done, total, unit="bytes"))

    def _tell(self, progress: Progress) -> None:
        now = self._clock()
        if progress.unit != self._unit:
            self._unit, self._began, self._before = progress.unit, now, progress.done
        if now - self._reported < REPORT_SECONDS:
            return
        self._reported = now
        come, to_come = progress.done - self._before, progress.total - progress.done
        left = (now - self._began) * to_come / come if come > 0 and to_come > 0 else None
        self._app.post_message(Told(self, replace(progress, seconds_left=left)))

    def learnt(self, **changes: Any) -> None:
        """Say what is known already; called from the thread."""
        if not self._stopped:
            self._app.post_message(Learnt(self, changes))

    def run(self, work: Callable[[Job], Mapping[str, Any]]) -> None:
        """Do it, in a thread, and post what it found; nothing once it was stopped, however it ends then."""
        try:
            found = work(self)
        except BaseException:
            if self._stopped:
                return
            raise
        if not self._stopped:
            self._app.post_message(Done(self, found, None))

    def failed(self, error: WizardError) -> None:
        """Post that it failed."""
        if not self._stopped:
            self._app.post_message(Done(self, {}, error))
