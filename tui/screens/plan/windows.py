"""What leads away from the plan: goals, alternatives, presets, saving, rates to try, an hour's price, the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on

from tui.screens.check.unready import lacking
from tui.screens.plan.trace import PlanTrace
from tui.terminal.sanitize import clean
from tui.widgets.goal_row import GoalRow
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from recommender.config.schema import Goal


OF_THIS_PLAN = frozenset(
    {"undo", "alternatives", "presets", "save", "trace", "terms", "try", "warnings"},
)
"""Actions that make no sense with a plan that is out of date."""


class PlanWindows(PlanTrace):
    """A plan's screen with its windows and the way on."""

    @on(GoalRow.Taken)
    def _goal(self, event: GoalRow.Taken) -> None:
        self.aim(event.goal)

    def aim(self, goal: Goal | None) -> None:
        """Plan for another goal; None leaves it."""
        plan, flow = self.state.plan, self.wizard.flow
        if plan is None or goal is None:
            return
        if flow.replanning:
            flow.afterwards(lambda: self.aim(goal))
        elif goal != self.state.aim:
            if not self.state.outdated:
                self._remember(plan)
            flow.recommend(goal=goal)

    def action_alternatives(self) -> None:
        """Compare the goals."""
        from tui.screens.plan.popups import open_alternatives

        open_alternatives(self)

    def action_presets(self) -> None:
        """List the presets."""
        from tui.screens.plan.popups import open_presets

        open_presets(self)

    def action_save(self) -> None:
        """Save the configuration."""
        from tui.screens.plan.popups import open_save

        open_save(self)

    def action_warnings(self) -> None:
        """Show every warning whole."""
        from tui.screens.plan.popups import warnings_popup

        if self.state.plan is not None:
            self.app.push_screen(warnings_popup(self.state.plan))

    def action_try(self) -> None:
        """Compare learning rates by short trainings."""
        from tui.screens.plan.try_rates import open_try

        open_try(self)

    def action_price(self) -> None:
        """Ask what an hour costs, and keep it."""
        from tui.screens.plan.popups import open_price

        open_price(self)

    async def action_check(self) -> None:
        """Go on to the checks."""
        plan = self.state.plan
        if plan is not None and plan.device.simulated:
            self.notify(
                f"{clean(plan.device.name)} is simulated: training cannot be started on it. ctrl+s saves the plan.",
                severity="warning",
                timeout=6,
                markup=False,
            )
        elif why := lacking(self.state):
            self.notify(why, severity="warning", timeout=8, markup=False)
        else:
            await self.wizard.action_go(int(Step.CHECK))
