"""The lower pane of the Plan screen: memory, time, and what would make the plan fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recommender.units import counted
from tui.screens.base import Part
from tui.screens.plan.lists import SettingsList
from tui.screens.plan.meter import meter_lines
from tui.screens.plan.text import remedy_picks
from tui.screens.plan.warnings import is_muted, warnings_beside
from tui.widgets.meter import Lines
from tui.widgets.pick_list import PickList

if TYPE_CHECKING:
    from recommender.plan.types import Plan
    from tui.wizard.state import WizardState


class MemoryPane(Part):
    """The pane `#memory`, a part of the Plan screen."""

    def show_meter(self, plan: Plan, state: WizardState) -> None:
        """Show the verdict, the bar, and time."""
        self.screen.query_one("#meter", Lines).lines = meter_lines(
            plan,
            state,
            max(20, self.screen.size.width - 4),
            colour=not self.screen.app.no_color and self.wizard.unicode,
            short=self.screen.has_class("-short"),
            runs=f"runs in {self.wizard.services.runs}",
        )

    def remedies_of(self, plan: Plan) -> bool:
        """Whether it has remedies to choose from."""
        return plan.estimate.fits == "no" and bool(plan.remedies) and not self.state.stale

    def show_remedies(self, plan: Plan) -> None:
        """Show the remedies that would make the plan fit, where it does not."""
        remedies = self.screen.query_one("#remedies", PickList)
        no = self.remedies_of(plan)
        was = self.screen.has_class("-no")
        self.screen.set_class(no, "-no")
        if no:
            remedies.styles.height = min(len(plan.remedies), 4 if self.screen.has_class("-short") else 6)
            remedies.show(lambda width: remedy_picks(plan, width))
        elif remedies.has_focus:
            self.screen.query_one(SettingsList).focus()
        if was is not no:
            self.screen.refresh_bindings()
        self.show_way_to_remedies()

    def show_way_to_remedies(self) -> None:
        """Name the keys that lead to the remedies, and the warnings that have no room."""
        way = "tab: choose from these"
        if self.screen.query_one("#remedies").has_focus:
            way = "↑ ↓ choose · enter applies · tab: why"
        elif not self.screen.query_one(SettingsList).has_focus:
            way = "tab from the settings: choose from these"
        told = [way] if self.screen.has_class("-no") else []
        plan = self.state.plan
        if plan is not None and plan.estimate.fits == "no":
            more = sum(not is_muted(one, self.state.muted) for one in warnings_beside(plan))
            told += [f"!: {counted(more, 'warning')}"] if more else []
        self.screen.query_one("#memory").border_subtitle = " · ".join(told)
