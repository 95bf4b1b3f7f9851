"""The plan's memory traced through the real model: started, followed, cancelled with one key."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from tui.screens.base import Part
from tui.terminal.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.binding import BindingType

    from presets.errors import WizardError
    from recommender.estimate.types import Estimate
    from recommender.plan.types import Plan
    from tui.screens.base import StepScreen

MEMORY_TITLE = "memory at the worst step, and time"


class PlanTrace(Part):
    """The trace of the plan's memory, a part of the Plan screen; an edit meanwhile makes its answer void.

    Args:
        screen: The Plan screen, with the pane `#memory`.
        tell: Says why there is no trace.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("t", "trace", "trace")]

    def __init__(self, screen: StepScreen, tell: Callable[[WizardError], None]) -> None:
        super().__init__(screen)
        self._tell = tell
        self._task = Task(screen, "trace")

    @property
    def running(self) -> bool:
        """Whether a trace is going on."""
        return self._task.running

    def action_trace(self) -> None:
        """Trace the plan on tensors without data, or cancel the trace that runs."""
        plan = self.state.plan
        if self._task.cancel():
            self._say("")
            self.screen.notify("The trace was cancelled: the figures are the formula's.", timeout=4)
        elif plan is not None:
            plans = self.wizard.services.plans
            self._say("tracing: starting · t cancels")
            self._task.start(
                lambda run: plans.trace(plan, run.progress, run.stopped),
                lambda estimate: self._traced(plan, estimate),
                self._not_traced,
                progress=self._trace_at,
            )

    def end(self) -> None:
        """Leave no process behind."""
        self._task.cancel()

    def _trace_at(self, done: int, total: int) -> None:
        self._say(f"tracing {done / max(1, total) * 100:.0f} % · t cancels")

    def _traced(self, plan: Plan, estimate: Estimate) -> None:
        self._say("")
        if self.state.plan is plan and self.state.settled:
            self.wizard.flow.plan.refine(self.wizard.services.plans.with_estimate(plan, estimate))
        else:
            self.screen.notify("The plan has changed meanwhile: t traces it as it is now.", timeout=4)

    def _not_traced(self, error: WizardError) -> None:
        self._say("")
        self._tell(error)

    def _say(self, how_far: str) -> None:
        self.screen.query_one("#memory").border_title = f"{MEMORY_TITLE} · {how_far}" if how_far else MEMORY_TITLE
