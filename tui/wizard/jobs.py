"""The background work for the wizard's steps, and the state that it changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from tui.terminal.task import Task
from tui.widgets.top_bar import Step
from tui.wizard.state import Progress
from tui.wizard.work import Pace, StepRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from presets.errors import WizardError
    from tui.wizard.flow_host import FlowHost
    from tui.wizard.state import Changes, WizardState


class Jobs(ABC):
    """One task for each step; the newest start of a step's work supersedes the one before.

    Attributes:
        app: Whose state.
    """

    def __init__(self, app: FlowHost) -> None:
        self.app = app
        self._tasks = {step: Task(app, step.name) for step in Step}

    @property
    def state(self) -> WizardState:
        """Current state."""
        return self.app.state

    def start(self, step: Step, what: str, work: Callable[[StepRun], Changes]) -> None:
        """Do something for a step in a thread; what was being done for it before is cancelled.

        Args:
            step: What it is for.
            what: What is being done, as the screens say it.
            work: Called in the thread; returns the fields of the state that it changes.
        """
        pace = Pace()
        self.set(working=self.state.working_with(step, Progress(what)), errors=self.state.errors_with(None, step))
        self._tasks[step].start(
            lambda run: work(StepRun(run, what, lambda changes: self.set(**changes))),
            lambda changes: self.done(step, changes, None),
            lambda error: self.done(step, {}, error),
            progress=lambda progress: self.set(working=self.state.working_with(step, pace.timed(progress))),
        )

    def stop(self, step: Step) -> bool:
        """Cancel the work for a step; return whether there was some."""
        stopped = self._tasks[step].cancel()
        if stopped:
            self.set(working=self.state.working_with(step, None))
        return stopped

    @abstractmethod
    def done(self, step: Step, changes: Changes, error: WizardError | None) -> None:
        """Take over what a step's work found, or why it failed."""

    def set(self, **changes: Unpack[Changes]) -> None:
        """Replace fields of the state."""
        self.app.state = replace(self.state, **changes)
