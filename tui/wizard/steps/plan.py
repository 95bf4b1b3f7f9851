"""Step 4: edits of the draft, and its plan: worked out at once where that is quick, and in one task where it is not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presets.errors import WizardError
from tui.terminal.sanitize import clean
from tui.widgets.top_bar import Step
from tui.wizard.draft import difference
from tui.wizard.steps.derive import Derived, PlanInputs, derive

if TYPE_CHECKING:
    from recommender.config.schema import Goal
    from recommender.plan.types import Plan
    from tui.wizard.draft import AppliedPreset, Draft
    from tui.wizard.services import Services
    from tui.wizard.state import Changes
    from tui.wizard.steps.store import Store
    from tui.wizard.steps.work import StepRun

SAME_THREAD_SECONDS = 0.02
"""An edit that took longer than this is worked out in a thread the next time, the newest winning."""
DEBOUNCE_SECONDS = 0.05
"""Seconds in which an edit waits for the next one, where the one before it has no plan yet either."""


class PlanStep:
    """Keeps the plan that of the draft. An edit makes another draft; the task for the one before is superseded.

    Attributes:
        replan_seconds: Time that the last edit took in the same thread.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.replan_seconds = 0.0

    # The draft

    def edit(
        self, changes: Mapping[str, Any], without: Sequence[str] = (), preset: AppliedPreset | None = None
    ) -> None:
        """Set values of the draft.

        Args:
            changes: Dotted key to value.
            without: Keys that go back to what is recommended.
            preset: The preset that the values are of, if they are.

        Raises:
            InputError: a value that its key cannot take.
        """
        state = self._store.state
        draft, plan = state.draft, state.plan
        if plan is None:
            kept = {key: value for key, value in draft.values.items() if key not in without}
            self._store.change(draft.with_values({**kept, **changes}, preset))
        elif state.settled and self._is_quick and (edited := self._edited(plan, changes, without)) is not None:
            new = draft.with_values(edited.overrides, preset)
            self._store.plans[new] = edited
            self._store.change(new)
        else:
            self._store.change(draft.with_values(self._checked(plan, changes, without), preset))

    def _edited(self, plan: Plan, changes: Mapping[str, Any], without: Sequence[str]) -> Plan | None:
        """The plan after an edit; None where its recipe has to be learned first, which takes seconds."""
        from recommender.memory.not_learned import NotLearned

        try:
            return self._replanned(plan, changes, without)
        except NotLearned:
            return None

    def _checked(self, plan: Plan, changes: Mapping[str, Any], without: Sequence[str]) -> Mapping[str, Any]:
        """The draft's values after an edit; what no plan takes is refused now, where it was typed."""
        from recommender.memory.not_learned import NotLearned
        from recommender.plan.edit import with_user_values

        state, plans = self._store.state, self._store.services.plans
        values = plans.edited_values(plan, state.draft.values, changes, without)
        if not state.stale:
            with suppress(NotLearned):
                plans.price(with_user_values(plan, values), {})
        return values

    @property
    def _is_quick(self) -> bool:
        """Whether the next edit is worked out in the same thread."""
        return self.replan_seconds <= SAME_THREAD_SECONDS

    def _replanned(self, plan: Plan, changes: Mapping[str, Any], without: Sequence[str]) -> Plan:
        began = time.perf_counter()
        edited = self._store.services.plans.replan(plan, changes, without)
        self.replan_seconds = time.perf_counter() - began
        return edited

    def aim(self, goal: Goal) -> None:
        """Plan for another goal."""
        draft = self._store.state.draft
        if goal != draft.goal:
            self._store.change(replace(draft, goal=goal))

    def undo(self) -> None:
        """Go back to the draft before the last edit."""
        state = self._store.state
        if state.history.past:
            self._store.change(*state.history.undone(state.draft))

    def redo(self) -> None:
        """Go to the draft that the last undo left."""
        state = self._store.state
        if state.history.future:
            self._store.change(*state.history.redone(state.draft))

    # The plan

    def derive(self) -> None:
        """Work out the draft's plan, unless that is there, on its way, or known not to be possible."""
        state = self._store.state
        draft = state.draft
        if state.settled or draft.device is None or draft.model is None:
            return
        if Step.PLAN in state.errors or Step.PLAN in state.working:
            return
        edits = state.history.since(state.planned)
        inputs = PlanInputs(draft, state.dataset, None if state.stale else state.plan, edits)
        if self._is_quick and self._derived_at_once(inputs):
            return
        services = self._store.services
        self._store.start(
            Step.PLAN,
            "working out a plan",
            lambda run: _learned(services, inputs, run),
            self._derived,
            after=DEBOUNCE_SECONDS if edits else 0.0,
        )
        # The next edit is tried in the same thread again: one slow answer may have been the machine's, not the plan's.
        self.replan_seconds = 0.0

    def _derived_at_once(self, inputs: PlanInputs) -> bool:
        """Show the draft's plan where it takes no search; return whether that went well."""
        base, draft = inputs.base, inputs.draft
        if base is None or base.goal != draft.goal:
            return False
        try:
            plan = self._replanned(base, *difference(base.overrides, draft.values))
        except WizardError:
            # In the thread the edits are tried one by one.
            return False
        self._store.set(**self._derived(Derived(((draft, plan),))))
        return True

    def _derived(self, derived: Derived) -> Changes:
        state = self._store.state
        plans = [(_in_full(draft, plan), plan) for draft, plan in derived.plans]
        self._store.plans.update(plans)
        changes: Changes = {}
        if plans:
            draft, plan = plans[-1]
            changes = {"draft": draft, "plan": plan, "planned": draft}
            if state.plan is None:
                changes["kept"] = plan.overrides
        if derived.error is None:
            return changes
        return {**changes, **self._left_out(derived.error, [draft for draft, _ in plans])}

    def _left_out(self, error: WizardError, made: Sequence[Draft]) -> Changes:
        """Tell why an edit was left out, and how the state goes on from those that were made."""
        state = self._store.state
        planned = state.planned or state.draft
        history = state.history.until(planned)
        for draft in [planned, *made][:-1]:
            history = history.edited(draft)
        if not made:
            return {"draft": planned, "history": history, "errors": state.errors_with(error, Step.PLAN)}
        self._store.app.notify(clean(f"{error.message} {error.remedy}"), severity="error", timeout=8, markup=False)
        return {"history": history}

    def refine(self, plan: Plan) -> None:
        """Show the draft's plan with a better estimate from now on; left out where the draft has changed meanwhile."""
        state = self._store.state
        if not state.settled:
            return
        self._store.plans[state.draft] = plan
        self._store.set(plan=plan, errors=state.errors_with(None, Step.PLAN))

    def save(self, plan: Plan, path: Path) -> None:
        """Write a plan's configuration into a file.

        Raises:
            InputError: it cannot be written.
        """
        self._store.services.plans.write_config(plan, path)
        self._store.set(kept=plan.overrides)


def _learned(services: Services, inputs: PlanInputs, run: StepRun) -> Derived:
    """The plan of a draft; a class that no formula is known of is learned meanwhile."""
    with services.learning(run.doing, run.stopped):
        return derive(services.plans, inputs)


def _in_full(draft: Draft, plan: Plan) -> Draft:
    """The draft with its values as the plan has them: keys in full, and those that imply each other."""
    return draft if dict(draft.values) == dict(plan.overrides) else replace(draft, values=plan.overrides)
