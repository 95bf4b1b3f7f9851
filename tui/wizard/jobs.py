"""What is being done for the wizard's steps, and the state that it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tui.terminal.background import background
from tui.wizard.state import Progress
from tui.wizard.work import Job, Learnt, Told

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui.widgets.top_bar import Step
    from tui.wizard.flow_host import FlowHost
    from tui.wizard.state import WizardState


class Jobs:
    """One job at most for each step.

    Attributes:
        app: Whose state.
    """

    def __init__(self, app: FlowHost) -> None:
        self.app = app
        self._jobs: dict[Step, Job] = {}

    @property
    def state(self) -> WizardState:
        """What is known so far."""
        return self.app.state

    def start(self, step: Step, what: str, work: Callable[[Job], Mapping[str, Any]]) -> None:
        """Do something for a step in a thread; what was being done for it before is cancelled."""
        self.stop(step)
        job = Job(self.app, step, what)
        self._jobs[step] = job
        errors = {at: error for at, error in self.state.errors.items() if at != step}
        self.set(working={**self.state.working, step: Progress(what)}, errors=errors)
        background(self.app, lambda: job.run(work), job.failed, group=step.name, exclusive=False)

    def stop(self, step: Step) -> bool:
        """Cancel what is being done for a step; whether there was something."""
        job = self._jobs.pop(step, None)
        if job is None:
            return False
        job.stop()
        self.set(working={at: progress for at, progress in self.state.working.items() if at != step})
        return True

    def told(self, message: Told) -> None:
        """Show how far a job is."""
        step = message.job.step
        if self._jobs.get(step) is message.job:
            self.set(working={**self.state.working, step: message.progress})

    def learnt(self, message: Learnt) -> None:
        """Show what a job knows already."""
        if self._jobs.get(message.job.step) is message.job:
            self.set(**message.changes)

    def set(self, **changes: Any) -> None:
        """Replace fields of the state."""
        self.app.state = replace(self.state, **changes)
