"""The wizard's state, changes of the draft in it, and one background task for each step."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from presets.errors import WizardError
from tui.terminal.task import Task
from tui.widgets.top_bar import Step
from tui.wizard.draft import History, same_rows
from tui.wizard.state import Progress
from tui.wizard.steps.work import Pace, StepRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from recommender.plan.types import Plan
    from tui.terminal.task import Run
    from tui.wizard.draft import Draft
    from tui.wizard.flow_host import FlowHost
    from tui.wizard.services import Services
    from tui.wizard.state import Changes, WizardState

Found = TypeVar("Found")


class Store:
    """State of the wizard with the tasks that derive it; the newest start of a step's work supersedes the one before.

    Attributes:
        app: The application, which holds the state.
        derive: Starts what lacks; called whenever the draft has changed or some work has ended.
        plans: Plans of the drafts that undo and redo lead to.
    """

    def __init__(self, app: FlowHost, derive: Callable[[], None]) -> None:
        self.app = app
        self.derive = derive
        self.plans: dict[Draft, Plan] = {}
        self._tasks = {step: Task(app, step.name) for step in Step}

    @property
    def state(self) -> WizardState:
        """Current state."""
        return self.app.state

    @property
    def services(self) -> Services:
        """What the wizard asks of the floors below."""
        return self.app.services

    def set(self, **changes: Unpack[Changes]) -> None:
        """Replace fields of the state."""
        self.app.state = replace(self.state, **changes)

    # The draft

    def change(self, draft: Draft, history: History | None = None) -> None:
        """Make another draft the present one, and derive what follows from it.

        Args:
            draft: The new one.
            history: Its history; that of an edit of the present draft when None.
        """
        self.set(**self.following(draft, self.state.history.edited(self.state.draft) if history is None else history))
        self.derive()

    def following(self, draft: Draft, history: History) -> Changes:
        """Return how another draft changes the state; work on what does not follow from it is cancelled."""
        before = self.state
        changes: Changes = {"draft": draft, "history": history}
        gone = {Step.PLAN}
        if not same_rows(before.draft, draft):
            gone.add(Step.DATA)
            changes["dataset"] = changes["first_look"] = None
        for step in gone:
            self._tasks[step].cancel()
        changes["errors"] = before.errors_with(None, *gone)
        changes["working"] = {step: progress for step, progress in before.working.items() if step not in gone}
        reachable = {draft, *history.past, *history.future}
        self.plans = {one: plan for one, plan in self.plans.items() if one in reachable}
        return {**changes, **self._shown(replace(before, **changes))}

    def _shown(self, after: WizardState) -> Changes:
        """The plan to show for a new draft: its own, or until that is there a stale one with the draft's values."""
        draft, plan = after.draft, self.plans.get(after.draft)
        if plan is not None and after.belongs(plan):
            return {"plan": plan, "planned": draft}
        if plan is None and (after.plan is None or after.belongs(after.plan)):
            return {}
        from recommender.plan.edit import with_user_values

        shown = plan or after.plan
        try:
            stale = None if shown is None else with_user_values(shown, draft.values)
        except WizardError:
            # The next plan says what is wrong with them.
            return {}
        return {} if stale is after.plan else {"plan": stale, "planned": None}

    # Work

    def start(
        self,
        step: Step,
        what: str,
        work: Callable[[StepRun], Found],
        found: Callable[[Found], Changes],
        *,
        after: float = 0.0,
    ) -> None:
        """Do something for a step in a thread; what was being done for it before is cancelled.

        Args:
            step: What it is for.
            what: What is being done, as the screens say it.
            work: Called in the thread.
            found: Given what the work returns; returns how that changes the state.
            after: Seconds to wait first, in which a newer start leaves nothing to do.
        """
        pace = Pace()
        self.set(working=self.state.working_with(step, Progress(what)), errors=self.state.errors_with(None, step))

        def in_thread(run: Run) -> Found:
            return work(StepRun(run, what, lambda changes: self.set(**changes)))

        self._tasks[step].start(
            in_thread,
            lambda value: self._ended(step, found(value)),
            lambda error: self._ended(step, {"errors": self.state.errors_with(error, step)}),
            progress=lambda progress: self.set(working=self.state.working_with(step, pace.timed(progress))),
            after=after,
        )

    def _ended(self, step: Step, changes: Changes) -> None:
        ended: Changes = {**changes, "working": replace(self.state, **changes).working_with(step, None)}
        self.set(**ended)
        # Rows, vocabularies and modules stay: going through them again and again held a key up for 60 ms now and then.
        gc.collect()
        gc.freeze()
        self.derive()

    def stop(self, step: Step) -> bool:
        """Cancel the work for a step; return whether there was some."""
        stopped = self._tasks[step].cancel()
        if stopped:
            self.set(working=self.state.working_with(step, None))
        return stopped
