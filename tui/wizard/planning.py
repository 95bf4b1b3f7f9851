"""The plan: made for what is chosen, edited at once, once it is there, or anew."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presets.errors import WizardError
from tui.terminal.sanitize import clean
from tui.widgets.top_bar import Step
from tui.wizard.jobs import Jobs
from tui.wizard.reading import to_read_again, without_edits

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from recommender.config.schema import Goal
    from recommender.plan.types import Plan
    from tui.wizard.flow_host import FlowHost
    from tui.wizard.state import Changes, PresetChanges
    from tui.wizard.work import StepRun


class Planning(Jobs):
    """Keeps the plan true to what the person chose and set."""

    def __init__(self, app: FlowHost) -> None:
        super().__init__(app)
        self._planned_for: tuple[object, ...] = ()
        self._later: list[Callable[[], None]] = []

    @abstractmethod
    def open_data(self, **changes: Any) -> None:
        """Change how the data is read, and read it."""

    def data_with(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The `data` section with these changes; None drops a key."""
        return {key: value for key, value in {**self.state.data, **changes}.items() if value is not None}

    def plan_if_needed(self) -> None:
        """Make the plan when there is none for this device, model and data."""
        state = self.state
        wanted = (state.device, state.model, state.dataset)
        if state.device is None or state.model is None or Step.PLAN in state.working:
            return
        if state.plan is None or state.outdated:
            if Step.PLAN in state.errors and self._planned_for == wanted:
                return
            self._planned_for = wanted
            self.recommend()

    def recommend(self, *, goal: Goal | None = None, overrides: Mapping[str, Any] | None = None) -> None:
        """Make a plan.

        Args:
            goal: For this goal; the state's when None.
            overrides: With these values of the person; the plan's own when None.
        """
        state = self.state
        model, device, dataset, aim = state.model, state.device, state.dataset, goal or state.goal
        if model is None or device is None:
            return
        given = dict(overrides if overrides is not None else state.plan.overrides if state.plan else state.overrides)
        if state.max_length is not None and state.plan is None:
            given["data.max_length"] = state.max_length
        data = without_edits(state.data, given)

        def work(_run: StepRun) -> Changes:
            plan = self.app.services.recommend(model, device, dataset, goal=aim, overrides=given, data=data)
            if state.plan is None:
                return {"plan": plan, "goal": aim, "kept": plan.overrides}
            return {"plan": plan, "goal": aim}

        # Asked for from now on: an edit meanwhile begins anew, for the same goal.
        self.set(goal=aim)
        self.start(Step.PLAN, "working out a plan", work)

    @property
    def replanning(self) -> bool:
        """Whether the choices have a plan while another is being worked out: an edit now is for the other."""
        return Step.PLAN in self.state.working and self.state.plan is not None and not self.state.outdated

    def afterwards(self, edit: Callable[[], None]) -> None:
        """Queue an edit until the plan that is being worked out is there, after the edits that wait already."""
        self._later.append(edit)

    def take_back(self) -> bool:
        """Drop the newest queued edit; return whether there was one."""
        return bool(self._later and self._later.pop())

    def _planned(self, before: Plan | None, error: WizardError | None) -> None:
        """Go on once planning has ended, with a plan or an error: read the plan's data, make the queued edits."""
        plan = self.state.plan
        if error is not None and plan is not None and not self.state.outdated:
            self.set(goal=plan.goal)
        if plan is not None:
            self._read_again(before, plan)
        if error is not None and self._later:
            # An edit that succeeds clears the error.
            self.app.notify(clean(f"{error.message} {error.remedy}"), severity="error", timeout=8, markup=False)
        self._make_edits()

    def _make_edits(self) -> None:
        later, self._later = self._later, []
        for edit in later:
            try:
                edit()
            except WizardError as error:
                self.set(errors=self.state.errors_with(error, Step.PLAN))

    def _read_again(self, before: Plan | None, after: Plan) -> None:
        """Read the data as the plan says, where an edit changed the tokens themselves."""
        changes = to_read_again({} if before is None else before.overrides, after.overrides, self.state.data)
        if changes and self.state.data.get("train"):
            self.open_data(**changes)
        elif changes:
            self.set(data=self.data_with(changes))

    def edit(self, changes: Mapping[str, Any], without: Sequence[str] = ()) -> None:
        """Edit the plan, whatever its state: at once, once it is there, or anew.

        Raises:
            InputError: a value that its key cannot take, or that contradicts another.
        """
        plan = self.state.plan
        if plan is None:
            return
        if self.state.outdated:
            self.amend(changes, without)
        elif self.replanning:
            self.wait_with(plan, changes, without, lambda: self.edit(changes, without))
        else:
            self.take_plan(self.app.services.replan(plan, changes, without))

    def wait_with(
        self, plan: Plan, changes: Mapping[str, Any], without: Sequence[str], edit: Callable[[], None]
    ) -> None:
        """Queue an edit until the plan that is being worked out is there; refuse now a value that no plan takes.

        Raises:
            InputError: a value that its key cannot take.
        """
        self.app.services.stale_with_edit(plan, changes, without)
        self.afterwards(edit)

    def amend(self, changes: Mapping[str, Any], without: Sequence[str] = ()) -> None:
        """Edit a stale plan: it is made anew, for the present choices, with the edit.

        Raises:
            InputError: a value that its key cannot take.
        """
        # Those that wait came first.
        self._make_edits()
        before = self.state.plan
        if before is None:
            return
        after = self.app.services.stale_with_edit(before, changes, without)
        self.set(plan=after)
        # It would end without this edit.
        self.stop(Step.PLAN)
        self._read_again(before, after)
        if not {Step.MODEL, Step.DATA} & set(self.state.working):
            self.recommend()

    def save(self, plan: Plan, path: Path) -> None:
        """Write a plan's configuration into a file.

        Raises:
            InputError: it cannot be written.
        """
        self.app.services.write_config(plan, path)
        self.set(kept=plan.overrides)

    def take_plan(self, plan: Plan, **changes: Unpack[PresetChanges]) -> None:
        """Show an edited plan from now on; data is read again where its tokens changed."""
        before = self.state.plan
        errors = self.state.errors_with(None, Step.PLAN)
        self.set(plan=plan, goal=plan.goal, max_length=plan.config.data.max_length, errors=errors, **changes)
        self._read_again(before, plan)
