"""The checks of a plan: one pass through the list in a task, what it found, and another pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from tui.screens.base import Part
from tui.terminal.task import Run, Task
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from presets.errors import WizardError
    from presets.questions import Question
    from recommender.data.dataset import DataSet
    from recommender.plan.types import Plan
    from trainer.preflight.line import CheckLine
    from tui.screens.base import StepScreen


class Pass:
    """One pass through the list.

    Attributes:
        plan: What is checked, as it was priced before.
        after: The same plan, priced by its measured step; None as long as there is none.
        lines: By key, in the order in which they came.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.after: Plan | None = None
        self.lines: dict[str, CheckLine] = {}
        self._began: dict[str, float] = {}

    def take(self, line: CheckLine) -> None:
        """Note how a line stands now."""
        if line.status == "running" and line.key not in self._began:
            self._began[line.key] = monotonic()
        self.lines[line.key] = line

    def timed(self) -> list[CheckLine]:
        """The lines; one that runs with its whole seconds so far."""
        now = monotonic()
        return [
            replace(line, seconds=float(int(now - self._began[line.key]))) if line.status == "running" else line
            for line in self.lines.values()
        ]


class Checks(Part):
    """The list of checks, a part of the Check screen.

    Args:
        screen: The Check screen.
        on_change: Called whenever a line, or the pass as a whole, is another.
        on_leave: Called when a start must not follow any more: a check has failed, or the list begins anew.
        on_end: Called when the list is through: with the reason, where it broke off.

    Attributes:
        current: The pass that is shown; None where nothing is to be checked.
    """

    def __init__(
        self,
        screen: StepScreen,
        on_change: Callable[[], None],
        on_leave: Callable[[], None],
        on_end: Callable[[WizardError | None], None],
    ) -> None:
        super().__init__(screen)
        self.current: Pass | None = None
        self._on_change, self._on_leave, self._on_end = on_change, on_leave, on_end
        self._task = Task(screen, "check")

    @property
    def running(self) -> bool:
        """Whether a pass goes on."""
        return self._task.running

    @property
    def lines(self) -> list[CheckLine]:
        """The lines as they are now."""
        return self.current.timed() if self.current else []

    @property
    def failed(self) -> bool:
        """Whether a check has failed."""
        return any(line.status == "fail" for line in self.lines)

    @property
    def incomplete(self) -> bool:
        """Whether the list ended with checks left out."""
        return not self.running and any(line.status == "skipped" for line in self.lines)

    @property
    def question(self) -> Question | None:
        """The question that a check left open."""
        return next((line.question for line in self.lines if line.question is not None), None)

    @property
    def run_seconds(self) -> float | None:
        """Seconds that the run takes at the measured pace."""
        return next((line.run_seconds for line in self.lines if line.run_seconds is not None), None)

    def are_of(self, plan: Plan) -> bool:
        """Whether the pass is of this plan, as it was priced before or after."""
        return self.current is not None and any(plan is known for known in (self.current.plan, self.current.after))

    def begin(self, plan: Plan, dataset: DataSet) -> None:
        """Go through the list."""
        self.halt()
        self._on_leave()
        current, services = Pass(plan), self.wizard.services
        self.current = current

        def work(run: Run) -> None:
            for line in services.checks(plan, dataset, run.stopped):
                run.deliver(self._checked, current, line)

        self._task.start(work, lambda _: self._ended(current), self._on_end)
        self.screen.refresh_bindings()

    def halt(self) -> None:
        """Stop, and forget the pass."""
        self._task.cancel()
        self.current = None
        self.screen.refresh_bindings()

    def leave_rest(self) -> None:
        """Ask the pass to end; the rest is told as skipped."""
        self._task.ask_to_end()

    def ask(self, question: Question) -> None:
        """Ask what a check cannot decide; the answer is an edit of the plan, which is then checked again."""
        from tui.screens.question import QuestionPopup

        def answered(number: int | None) -> None:
            if number is not None:
                self.wizard.flow.plan.edit(question.choices[number].set)

        if self.screen.app.screen is self.screen:
            self.screen.app.push_screen(QuestionPopup(question), answered)

    def action_again(self) -> None:
        """Run the checks again."""
        state = self.state
        if state.plan is not None and state.dataset is not None and not (state.stale or state.plan.device.simulated):
            self.wizard.flow.set(errors=state.errors_with(None, Step.CHECK))
            self.begin(state.plan, state.dataset)
            self._on_change()

    def _checked(self, current: Pass, line: CheckLine) -> None:
        current.take(line)
        if line.status == "fail":
            self._on_leave()
        if line.question is not None:
            self.ask(line.question)
        self._on_change()

    def _ended(self, current: Pass) -> None:
        self._reprice(current)
        self._on_end(None)

    def _reprice(self, current: Pass) -> None:
        """Show the plan with its measured memory and time on every screen."""
        plan, services = current.plan, self.wizard.services
        if self.run_seconds is None or self.state.plan is not plan or not self.state.settled:
            return
        current.after = services.plans.with_estimate(plan, services.plans.price(plan, {}))
        self.wizard.flow.plan.refine(current.after)
