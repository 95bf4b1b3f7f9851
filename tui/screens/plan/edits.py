"""Edits of the plan: at once where that is quick, in a thread where it is not, and undone again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from presets.errors import WizardError
from tui.screens.base import Part
from tui.terminal.sanitize import clean
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from typing import Unpack

    from recommender.plan.types import Plan
    from tui.screens.base import StepScreen
    from tui.wizard.state import Changes, PresetChanges
    from tui.wizard.work import StepRun

SAME_THREAD_SECONDS = 0.02
"""An edit that took longer than this is worked out in a thread the next time, the newest winning."""
UNDO_DEPTH = 100


class PlanEdits(Part):
    """Edits of the wizard's plan, each of which can be taken back; a part of the Plan screen.

    Args:
        screen: The Plan screen.
    """

    def __init__(self, screen: StepScreen) -> None:
        super().__init__(screen)
        self._undo: list[Plan] = []
        self._replan_seconds = 0.0

    def change_or_tell(
        self, changes: Mapping[str, Any], without: Sequence[str] = (), **state: Unpack[PresetChanges]
    ) -> None:
        """Edit the plan, or say why that cannot be."""
        try:
            self.change(changes, without, **state)
        except WizardError as error:
            self.tell(error)

    def tell(self, error: WizardError) -> None:
        """Say what went wrong without leaving the form."""
        self.screen.notify(clean(f"{error.message} {error.remedy}"), severity="error", timeout=8, markup=False)

    def change(self, changes: Mapping[str, Any], without: Sequence[str] = (), **state: Unpack[PresetChanges]) -> None:
        """Edit the plan and show what it needs now.

        Args:
            changes: Dotted key to value.
            without: Keys that go back to what is recommended.
            **state: What else of the wizard's state changes with it.

        Raises:
            InputError: a value that its key cannot take.
        """
        plan = self.state.plan
        if plan is None:
            return
        if self.state.outdated:
            self.wizard.flow.amend(changes, without)
            return
        if self.wizard.flow.replanning:
            self.wizard.flow.wait_with(plan, changes, without, lambda: self.change_or_tell(changes, without, **state))
            return
        if self._replan_seconds > SAME_THREAD_SECONDS:
            self._change_in_thread(plan, changes, without, state)
            return
        began = time.perf_counter()
        edited = self.wizard.services.replan(plan, changes, without)
        self._replan_seconds = time.perf_counter() - began
        self.remember(plan)
        self.wizard.flow.take_plan(edited, **state)

    def _change_in_thread(
        self, plan: Plan, changes: Mapping[str, Any], without: Sequence[str], state: PresetChanges
    ) -> None:
        services = self.wizard.services
        # What no plan takes is refused now, where it was typed.
        services.stale_with_edit(plan, changes, without)
        services.price(plan, changes)
        self.remember(plan)

        def work(_run: StepRun) -> Changes:
            found: Changes = {"plan": services.replan(plan, changes, without)}
            if "preset" in state:
                found["preset"], found["preset_values"] = state["preset"], state["preset_values"]
            return found

        self.wizard.flow.start(Step.PLAN, "working it out", work)
        # The next edit is tried in place again: one slow answer may have been the machine's, not the plan's.
        self._replan_seconds = 0.0

    def remember(self, plan: Plan) -> None:
        """Keep a plan for undo to come back to."""
        first = not self._undo
        self._undo = [*self._undo[-UNDO_DEPTH:], plan]
        if first:
            self.screen.refresh_bindings()

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return bool(self._undo)

    def forget_others(self) -> None:
        """Undo takes back edits: what was made for another device, other data or another model is not gone back to."""
        if self._undo and not self.state.belongs(self._undo[-1]):
            self._undo.clear()
            self.screen.refresh_bindings()

    def action_undo(self) -> None:
        """Take the last edit back: one that waits, what is being worked out, or one that was made."""
        flow = self.wizard.flow
        if self._undo and not flow.take_back():
            flow.stop(Step.PLAN)
            plan = self._undo.pop()
            flow.take_plan(plan)
            if not self._undo:
                self.screen.refresh_bindings()
