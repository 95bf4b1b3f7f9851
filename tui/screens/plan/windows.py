"""Windows opened from the plan: goals, alternatives, presets, saving, rates to try, an hour's price, the checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from presets.errors import WizardError
from tui.screens.base import Part
from tui.screens.unready import lacking
from tui.terminal.sanitize import clean
from tui.widgets.goal_row import GOALS
from tui.widgets.top_bar import Step
from tui.wizard.draft import AppliedPreset

if TYPE_CHECKING:
    from textual.binding import BindingType

    from presets.recipes import Recipe
    from recommender.config.schema import Goal
    from recommender.plan.types import Plan
    from tui.screens.base import StepScreen
    from tui.screens.plan.edits import PlanEdits


OF_THIS_PLAN = frozenset(
    {"alternatives", "presets", "save", "trace", "terms", "try", "warnings"},
)
"""Actions that make no sense with a stale plan."""


class PlanWindows(Part):
    """The windows of the Plan screen and the way on to the checks, a part of it.

    Args:
        screen: The Plan screen.
        edits: Its plan's edits.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", "check", "check and start"),
        Binding("a", "alternatives", "alternatives"),
        Binding("p", "presets", "presets"),
        Binding("ctrl+s", "save", "save", key_display="^s"),
        Binding("b", "terms", "breakdown", show=False),
        Binding("exclamation_mark", "warnings", "warnings", key_display="!", show=False),
        Binding("T", "try", "try rates", show=False),
        Binding("dollar_sign", "price", "price an hour", key_display="$", show=False),
    ]

    def __init__(self, screen: StepScreen, edits: PlanEdits) -> None:
        super().__init__(screen)
        self._edits = edits

    def aim(self, goal: Goal | None) -> None:
        """Plan for another goal; None leaves it."""
        if self.state.plan is not None and goal is not None:
            self.wizard.flow.plan.aim(goal)

    def action_alternatives(self) -> None:
        """Compare the best plan for each goal, and choose one."""
        from tui.screens.plan.popups import alternatives_popup

        plan = self.state.plan
        if plan is None:
            return
        try:
            others = self.wizard.services.plans.alternatives(plan)
        except WizardError as error:
            self._edits.tell(error)
            return
        self.screen.app.push_screen(alternatives_popup(plan, others), lambda goal: self.aim(_goal(goal)))

    def action_presets(self) -> None:
        """Choose a preset; what it changes is shown before it is applied."""
        from tui.screens.plan.popups import presets_popup, recipe_named

        plan, plans = self.state.plan, self.wizard.services.plans
        if plan is None:
            return
        edited: dict[str, Plan] = {}

        def accept(name: str) -> None:
            edited[name] = plans.replan(plan, recipe_named(plans, name).changes)

        def chosen(name: str | None) -> None:
            if name is not None:
                self._preview(plan, recipe_named(plans, name), edited[name])

        try:
            popup = presets_popup(plan, plans, accept)
        except WizardError as error:
            self._edits.tell(error)
            return
        self.screen.app.push_screen(popup, chosen)

    def _preview(self, plan: Plan, recipe: Recipe, edited: Plan) -> None:
        from recommender.config.edit import known_key
        from tui.screens.plan.popups import changes_popup

        changed = {known_key(key) for key in recipe.changes}

        def answered(answer: str | None) -> None:
            if answer == "yes":
                new = {key: edited.overrides[key] for key in edited.overrides if key in changed}
                self._edits.change_or_tell(recipe.changes, preset=AppliedPreset(recipe.name, new))

        note = f"{recipe.title}. Meant for {recipe.meant_for}. Source: {recipe.source}"
        self.screen.app.push_screen(changes_popup(f"preset {recipe.name}", plan, edited, note), answered)

    def action_save(self) -> None:
        """Save the configuration as YAML."""

        def saved(answer: str) -> None:
            self.screen.notify(f"wrote {clean(answer.strip())}", timeout=4, markup=False)

        if self.state.plan is not None:
            self._save(self.state.plan, saved)

    def _save(self, plan: Plan, saved: Callable[[str], None]) -> None:
        """Ask for a file and write the configuration into it; `saved` is given its name as typed."""
        from tui.screens.plan.popups import save_popup

        def answered(name: str | None) -> None:
            if name is not None:
                saved(name)

        self.screen.app.push_screen(save_popup(plan, lambda path: self.wizard.flow.plan.save(plan, path)), answered)

    def action_warnings(self) -> None:
        """Show every warning whole, and mute those that are known."""
        from tui.screens.plan.warnings import WarningsPopup

        if self.state.plan is not None:
            self.screen.app.push_screen(WarningsPopup(self.state.plan, self.state.muted, self._mute))

    def _mute(self, code: str) -> frozenset[str]:
        """Mute warnings of a kind, or show them again; return the codes of all that are muted."""
        muted = self.state.muted ^ {code}
        self.wizard.flow.set(muted=muted)
        return muted

    def action_terms(self) -> None:
        """Show the memory formula term by term."""
        from tui.screens.plan.terms import terms_popup

        if self.state.plan is not None:
            self.screen.app.push_screen(terms_popup(self.state.plan))

    def action_try(self) -> None:
        """Compare learning rates by short trainings: save the configuration for it and copy the command."""
        from tui.screens.plan.try_rates import command, try_popup

        plan = self.state.plan
        if plan is None:
            return
        if plan.device.simulated:
            name = clean(plan.device.name)
            self.screen.notify(
                f"{name} is simulated: nothing can be trained on it here.", severity="warning", markup=False
            )
            return
        if self.state.dataset is None:
            self.screen.notify("There is no data to try it on yet: 3.", severity="warning", timeout=4)
            return

        def saved(name: str) -> None:
            line = command(plan, name.strip())
            self.screen.app.copy_to_clipboard(line)
            self.screen.notify(f"Saved, and copied: {clean(line)}", timeout=20, markup=False)

        def answered(answer: str | None) -> None:
            if answer == "yes":
                self._save(plan, saved)

        self.screen.app.push_screen(try_popup(plan), answered)

    def action_price(self) -> None:
        """Set what an hour costs."""
        from tui.screens.plan.popups import price_popup

        self.screen.app.push_screen(price_popup(self.state.price, self.wizard.flow.set_price))

    async def action_check(self) -> None:
        """Go on to the checks."""
        plan = self.state.plan
        if plan is not None and plan.device.simulated:
            self.screen.notify(
                f"{clean(plan.device.name)} is simulated: training cannot be started on it. ctrl+s saves the plan.",
                severity="warning",
                timeout=6,
                markup=False,
            )
        elif why := lacking(self.state):
            self.screen.notify(why, severity="warning", timeout=8, markup=False)
        else:
            await self.wizard.action_go(int(Step.CHECK))


def _goal(name: str | None) -> Goal | None:
    return next((goal for goal in GOALS if goal == name), None)
