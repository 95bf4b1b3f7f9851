"""The plan's memory traced through the real model: started, followed, cancelled with one key."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from presets.errors import NoError, WizardError
from tui.screens.plan.edits import PlanEdits
from tui.terminal.background import background
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from recommender.estimate.types import Estimate
    from recommender.plan.types import Plan

MEMORY_TITLE = "memory at the worst step, and time"


class PlanTrace(PlanEdits):
    """A screen whose plan can be traced; an edit meanwhile makes the answer void."""

    def __init__(self) -> None:
        super().__init__()
        self._tracing: Event | None = None

    def action_trace(self) -> None:
        """Trace the plan, or cancel the trace that runs."""
        plan = self.state.plan
        if self._tracing is not None:
            self._tracing.set()
        elif plan is not None:
            cancelled = self._tracing = Event()
            self._say("tracing: starting · t cancels")
            background(
                self, lambda: self._trace(plan, cancelled), lambda error: self._traced(plan, error), group="trace"
            )

    def on_unmount(self) -> None:
        """Leave no process behind."""
        if self._tracing is not None:
            self._tracing.set()

    def _trace(self, plan: Plan, cancelled: Event) -> None:
        """In a thread: wait for the tracing process."""

        def told(done: int, total: int) -> None:
            if not cancelled.is_set():
                self.call_later(self._say, f"tracing {done / max(1, total) * 100:.0f} % · t cancels")

        self.call_later(self._traced, plan, self.wizard.services.trace(plan, told, cancelled.is_set))

    def _traced(self, plan: Plan, answer: Estimate | WizardError) -> None:
        self._tracing = None
        self._say("")
        if isinstance(answer, NoError):
            self.notify("The trace was cancelled: the figures are the formula's.", timeout=4)
        elif isinstance(answer, WizardError):
            self.tell(answer)
        elif self.state.plan is plan and not self.state.outdated and Step.PLAN not in self.state.working:
            self.wizard.flow.take_plan(self.wizard.services.with_estimate(plan, answer))
        else:
            self.notify("The plan has changed meanwhile: t traces it as it is now.", timeout=4)

    def _say(self, how_far: str) -> None:
        self.query_one("#memory").border_title = f"{MEMORY_TITLE} · {how_far}" if how_far else MEMORY_TITLE
