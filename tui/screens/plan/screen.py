"""Step 4, the heart: every value with its reason, and memory and time that follow each edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content

from presets.errors import WizardError
from tui.screens.base import StepScreen
from tui.screens.plan.edits import PlanEdits
from tui.screens.plan.form import ADVANCED_KEY, followed
from tui.screens.plan.lists import RemedyList, SettingsList
from tui.screens.plan.memory_pane import MemoryPane
from tui.screens.plan.settings_pane import SettingsPane
from tui.screens.plan.text import why_rows
from tui.screens.plan.trace import MEMORY_TITLE, PlanTrace
from tui.screens.plan.warnings import all_warnings
from tui.screens.plan.why_pane import WhyPane
from tui.screens.plan.windows import OF_THIS_PLAN, PlanWindows
from tui.screens.unready import waiting_rows
from tui.widgets.goal_row import GoalRow
from tui.widgets.meter import Lines
from tui.widgets.pick_list import Pick, PickList
from tui.widgets.rows import Row, Rows, row
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from textual import events
    from textual.widget import Widget

    from recommender.plan.types import Plan
    from tui.wizard.state import WizardState
MOST_FOLLOWED = 4
"""Values that an edit moved, told at a time; the rows of all are marked."""


class PlanScreen(StepScreen):
    """Goal, settings, why, memory and time."""

    STEP = Step.PLAN
    HELP = (
        "The whole configuration, a reason for every value, and what it needs. Arrow keys move; the why pane follows. "
        "enter edits a value in place, backspace brings the recommended one back, u undoes an edit and U makes it "
        "again. ● is recommended, ✎ yours. Memory and time are worked out again at each edit. When it does not fit, "
        "the remedies below say what to change, what that saves and what it costs: enter applies one. a compares the "
        "goals, p lists presets that others published, b shows the memory term by term, t traces it through the real "
        "model, T compares learning rates by short trainings, ! lists the warnings and mutes known "
        "ones, ctrl+s saves the configuration as YAML, g goes on to the checks."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "remedies", "remedies", key_display="tab"),
        PlanWindows.BINDINGS[0],
        *PlanEdits.BINDINGS,
        *PlanWindows.BINDINGS[1:4],
        *PlanTrace.BINDINGS,
        *PlanWindows.BINDINGS[4:],
        Binding("tab", "next_pane(1)", "next pane", show=False),
        Binding("shift+tab", "next_pane(-1)", "previous pane", show=False),
    ]
    DEFAULT_CSS = """
    #goal { height: 3; }
    #plan-panes { height: 1fr; }
    #settings { width: 12fr; height: 1fr; }
    #settings-list { height: 1fr; }
    #why { width: 8fr; height: 1fr; }
    #why-rows { height: 1fr; }
    #memory { height: auto; }
    #remedies { height: auto; max-height: 6; display: none; }
    PlanScreen.-no #remedies { display: block; }
    PlanScreen.-stale #settings, PlanScreen.-stale #why, PlanScreen.-stale #memory { opacity: 55%; }
    PlanScreen.-narrow #goal { height: 1; border: none; padding: 0 2; }
    PlanScreen.-narrow #settings { width: 100%; }
    PlanScreen.-narrow #why { display: none; width: 100%; }
    PlanScreen.-narrow.-why #why { display: block; }
    PlanScreen.-narrow.-why #settings { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: Plan | None = None
        self.edits = PlanEdits(self)
        self.trace = PlanTrace(self, self.edits.tell)
        self.windows = PlanWindows(self, self.edits)
        self.settings = SettingsPane(self, self.edits)
        self.why, self.memory = WhyPane(self), MemoryPane(self)
        self.parts = (self.edits, self.trace, self.windows, self.settings)

    def body(self) -> ComposeResult:
        """Four panes."""
        with Vertical(id="goal", classes="pane") as goal:
            goal.border_title = "goal"
            yield GoalRow(id="goal-row")
        with Horizontal(id="plan-panes"):
            with Vertical(id="settings", classes="pane") as settings:
                settings.border_title = "settings"
                settings.border_subtitle = "● recommended  ✎ yours"
                yield SettingsList(id="settings-list")
            with Vertical(id="why", classes="pane") as why:
                why.border_title = "why"
                yield Rows(id="why-rows")
        with Vertical(id="memory", classes="pane") as memory:
            memory.border_title = MEMORY_TITLE
            yield Lines(id="meter")
            yield RemedyList(id="remedies", cursor_when_blurred=False)

    def on_mount(self) -> None:
        """Put the focus on the settings."""
        super().on_mount()
        self.query_one(SettingsList).focus()

    def on_unmount(self) -> None:
        """Leave no process behind."""
        self.trace.end()

    @on(GoalRow.Taken)
    def _goal(self, event: GoalRow.Taken) -> None:
        self.windows.aim(event.goal)

    def on_resize(self, event: events.Resize) -> None:
        """The meter has another width."""
        super().on_resize(event)
        self.call_after_refresh(self.follow)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the keys that need a plan only when there is one."""
        if action in {*OF_THIS_PLAN, "recommended"} and self.state.plan is None:
            return False
        cancels = action == "trace" and self.trace.running
        if action in OF_THIS_PLAN and self.state.stale and not cancels:
            return False
        if not {"undo": self.edits.can_undo, "redo": self.edits.can_redo}.get(action, True):
            return False
        if action == "warnings" and self.state.plan is not None and not all_warnings(self.state.plan):
            return False
        if action == "remedies" and not (self.has_class("-no") and self.query_one(SettingsList).has_focus):
            return False
        return super().check_action(action, parameters)

    # What is shown

    def problems(self, state: WizardState) -> Mapping[Step, WizardError]:
        """Return the errors of this step and of those before it: there is no plan without them."""
        return {**state.failed, **super().problems(state)}

    def show(self, state: WizardState) -> None:
        """Show the plan, or what it waits for."""
        plan = state.plan
        self.edits.follow_history()
        if self.has_class("-stale") is not state.stale:
            self.set_class(state.stale, "-stale")
            self.refresh_bindings()
        if plan is None or (Step.PLAN in state.working and self._shown is None):
            self._show_waiting(state)
            return
        first = self._shown is None
        self._tell_what_followed(plan)
        self._shown = plan
        if first:
            self.refresh_bindings()
        goal = self.query_one(GoalRow)
        goal.goal, goal.preset = state.draft.goal, state.draft.preset_shown
        self.settings.show(plan)
        if first:
            self.query_one(SettingsList).move_to("method")
        self._show_why(plan)
        self.memory.show_meter(plan, state)
        self.memory.show_remedies(plan)

    def _show_why(self, plan: Plan) -> None:
        self.why.show(plan, self.settings.key(plan), remedies=self.memory.remedies_of(plan))

    def _tell_what_followed(self, plan: Plan) -> None:
        """Say which values an edit has moved beside its own, and mark their rows until the next edit."""
        before = self._shown
        if before is None or before is plan or before.config == plan.config:
            return
        self.settings.followed = followed(before, plan)
        if self.settings.followed and self.app.screen is self:
            shown = [
                f"{key.rpartition('.')[2]} follows: {old} → {new}" for key, (old, new) in self.settings.followed.items()
            ]
            self.notify("\n".join(shown[:MOST_FOLLOWED]), timeout=6, markup=False)

    def _show_waiting(self, state: WizardState) -> None:
        if self._shown is not None:
            self._shown = None
            self.refresh_bindings()
        waiting = waiting_rows(state)
        self.query_one(SettingsList).show(lambda _width: [Pick("waiting", (line,), fixed=True) for line in waiting])
        self.query_one("#why-rows", Rows).show([])
        self.query_one("#meter", Lines).lines = (Content.styled("memory and time appear with the plan", "$quiet"),)
        self.set_class(False, "-no")

    def on_descendant_focus(self) -> None:
        """Show the way to the remedies anew: what the keys do to them depends on where the focus is."""
        self.memory.show_way_to_remedies()

    def explain(self) -> list[Row]:
        """The value under the cursor, when the settings have the focus."""
        plan = self.state.plan
        key = self.settings.key(plan) if plan is not None and self.query_one(SettingsList).has_focus else None
        if plan is None or key is None:
            return super().explain()
        return [row((key, "accent")), *why_rows(plan, key, self.why.describe(key))]

    @on(PickList.Moved, "#settings-list")
    def _moved(self, event: PickList.Moved) -> None:
        if self.state.plan is None:
            return
        if not isinstance(event, SettingsList.CellMoved):
            self.query_one(SettingsList).at = 0
        self.settings.show(self.state.plan)
        self.why.show(
            self.state.plan, self.settings.key(self.state.plan), remedies=self.memory.remedies_of(self.state.plan)
        )
        self.query_one("#why-rows", Rows).scroll_home(animate=False)

    def action_remedies(self) -> None:
        """Go to what would make the plan fit."""
        self.action_next_pane(1)

    def action_next_pane(self, by: int) -> None:
        """Move the focus to the next pane; in a narrow terminal the why pane takes the settings' place."""
        panes: list[Widget] = [self.query_one(GoalRow), self.query_one(SettingsList), self.query_one("#why-rows")]
        if self.has_class("-no"):
            # What would make it fit is looked for first.
            panes.insert(2, self.query_one("#remedies"))
        here = next((index for index, pane in enumerate(panes) if pane.has_focus), 0)
        target = panes[(here + by) % len(panes)]
        self.set_class(target.id == "why-rows", "-why")
        self.call_after_refresh(target.focus)

    # Editing

    @on(PickList.Chosen, "#settings-list")
    def _edit(self, event: PickList.Chosen) -> None:
        plan = self.state.plan
        if plan is None:
            return
        if event.pick.key == ADVANCED_KEY:
            self.settings.advanced = not self.settings.advanced
            self.settings.show(plan)
            return
        key = self.settings.key(plan)
        if key == "model":
            self.notify("Another model is chosen in step 2.", timeout=3)
        elif key is not None:
            self.settings.open_editor(plan, key)

    @on(PickList.Chosen, "#remedies")
    def _remedy(self, event: PickList.Chosen) -> None:
        plan = self.state.plan
        if plan is not None:
            self.edits.change_or_tell(plan.remedies[int(event.pick.key)].changes)
