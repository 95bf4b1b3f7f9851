"""The plan's memory traced through the real model: started, followed, cancelled with one key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.screens.plan.edits import PlanEdits
from tui.terminal.task import Task
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from presets.errors import WizardError
    from recommender.estimate.types import Estimate
    from recommender.plan.types import Plan

MEMORY_TITLE = "memory at the worst step, and time"


class PlanTrace(PlanEdits):
    """A screen whose plan can be traced; an edit meanwhile makes the answer void."""

    def __init__(self) -> None:
        super().__init__()
        self._tracing = Task(self, "trace")

    def action_trace(self) -> None:
        """Trace the plan, or cancel the trace that runs."""
        plan = self.state.plan
        if self._tracing.cancel():
            self._say("")
            self.notify("The trace was cancelled: the figures are the formula's.", timeout=4)
        elif plan is not None:
            services = self.wizard.services
            self._say("tracing: starting · t cancels")
            self._tracing.start(
                lambda run: services.trace(plan, run.progress, run.stopped),
                lambda estimate: self._traced(plan, estimate),
                self._not_traced,
                progress=self._trace_at,
            )

    def on_unmount(self) -> None:
        """Leave no process behind."""
        self._tracing.cancel()

    def _trace_at(self, done: int, total: int) -> None:
        self._say(f"tracing {done / max(1, total) * 100:.0f} % · t cancels")

    def _traced(self, plan: Plan, estimate: Estimate) -> None:
        self._say("")
        if self.state.plan is plan and not self.state.outdated and Step.PLAN not in self.state.working:
            self.wizard.flow.take_plan(self.wizard.services.with_estimate(plan, estimate))
        else:
            self.notify("The plan has changed meanwhile: t traces it as it is now.", timeout=4)

    def _not_traced(self, error: WizardError) -> None:
        self._say("")
        self.tell(error)

    def _say(self, how_far: str) -> None:
        self.query_one("#memory").border_title = f"{MEMORY_TITLE} · {how_far}" if how_far else MEMORY_TITLE
