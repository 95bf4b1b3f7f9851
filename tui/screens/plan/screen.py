"""Step 4, the heart: every value with its reason, and memory and time that follow each edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.geometry import Offset

from presets.errors import WizardError
from recommender.units import counted, gib
from tui.screens.base import StepScreen
from tui.screens.plan.edits import PlanEdits
from tui.screens.plan.form import ADVANCED_KEY, Setting, followed, followed_notes, shown_settings
from tui.screens.plan.lists import RemedyList, SettingsList
from tui.screens.plan.meter import meter_lines
from tui.screens.plan.text import model_rows, out_of_date, remedy_picks, settings_picks, warnings_beside, why_rows
from tui.screens.plan.trace import MEMORY_TITLE, PlanTrace
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
        "enter edits a value in place, backspace brings the recommended one back, u undoes. ● is recommended, ✎ "
        "yours. Memory and time are worked out again at each edit. When it does not fit, the remedies below say what "
        "to change, what that saves and what it costs: enter applies one. a compares the goals, p lists presets that "
        "others published, b shows the memory term by term, t traces it through the real model, T compares learning "
        "rates by short trainings, ! lists the warnings, ctrl+s saves the configuration as YAML, g goes on to the "
        "checks."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "remedies", "remedies", key_display="tab"),
        PlanWindows.BINDINGS[0],
        Binding("u", "undo", "undo"),
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
    PlanScreen.-outdated #settings, PlanScreen.-outdated #why, PlanScreen.-outdated #memory { opacity: 55%; }
    PlanScreen.-narrow #goal { height: 1; border: none; padding: 0 2; }
    PlanScreen.-narrow #settings { width: 100%; }
    PlanScreen.-narrow #why { display: none; width: 100%; }
    PlanScreen.-narrow.-why #why { display: block; }
    PlanScreen.-narrow.-why #settings { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._advanced = False
        self._shown: Plan | None = None
        self._followed: Mapping[str, tuple[str, str]] = {}
        self._descriptions: Callable[[str], str] | None = None
        self.edits = PlanEdits(self)
        self.trace = PlanTrace(self, self.edits.tell)
        self.windows = PlanWindows(self, self.edits)
        self.parts = (self.edits, self.trace, self.windows)

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
        """What needs a plan is offered when there is one."""
        if action in {*OF_THIS_PLAN, "recommended"} and self.state.plan is None:
            return False
        cancels = action == "trace" and self.trace.running
        if action in OF_THIS_PLAN and self.state.outdated and not cancels:
            return False
        if action == "undo" and not self.edits.can_undo:
            return False
        if action == "warnings" and self.state.plan is not None and not self.state.plan.warnings:
            return False
        if action == "remedies" and not (self.has_class("-no") and self.query_one(SettingsList).has_focus):
            return False
        return super().check_action(action, parameters)

    # What is shown

    def problems(self, state: WizardState) -> Mapping[Step, WizardError]:
        """Return why this step failed, and why those before it did: there is no plan without them."""
        return {**state.failed, **super().problems(state)}

    def show(self, state: WizardState) -> None:
        """Show the plan, or what it waits for."""
        plan = state.plan
        self.edits.forget_others()
        if self.has_class("-outdated") is not state.outdated:
            self.set_class(state.outdated, "-outdated")
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
        goal.goal, goal.preset = state.aim, state.preset_shown
        self._show_settings(plan)
        if first:
            self.query_one(SettingsList).move_to("method")
        self._show_why(plan)
        self._show_meter(plan, state)
        self._show_remedies(plan)

    def _tell_what_followed(self, plan: Plan) -> None:
        """Say which values an edit has moved beside its own, and mark their rows until the next edit."""
        before = self._shown
        if before is None or before is plan or before.config == plan.config:
            return
        self._followed = followed(before, plan)
        if self._followed and self.app.screen is self:
            shown = [f"{key.rpartition('.')[2]} follows: {old} → {new}" for key, (old, new) in self._followed.items()]
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

    def _show_settings(self, plan: Plan) -> None:
        settings = self.query_one(SettingsList)
        row_now = settings.current.key if settings.current else ""
        notes = self._notes(plan)
        settings.show(
            lambda width: settings_picks(
                plan, width, advanced=self._advanced, current=row_now, at=self._cell(plan), notes=notes
            )
        )

    def _notes(self, plan: Plan) -> Mapping[str, str]:
        """Notes by label: what gradient checkpointing saves, and what the last edit moved beside its own."""
        return {**self._saved(plan), **followed_notes(plan, self._followed)}

    def _saved(self, plan: Plan) -> Mapping[str, str]:
        """What gradient checkpointing saves, or would: it takes a second price."""
        key = "training.gradient_checkpointing"
        on = plan.config.training.gradient_checkpointing
        try:
            other = self.wizard.services.price(plan, {key: not on})
        except WizardError:
            return {}
        saved = (other.peak.process_bytes - plan.estimate.peak.process_bytes) * (1 if on else -1)
        if saved <= 0:
            return {}
        return {"gradient_checkpointing": f"{'saves' if on else 'on saves'} {gib(saved)}"}

    def _show_why(self, plan: Plan) -> None:
        key = self._key(plan)
        if key is None:
            rows = [row(("What is rarely changed: enter unfolds it.", "label"))]
        elif key == "model":
            rows = model_rows(plan)
        else:
            preset = self.state.preset if self.state.set_by_preset(key) else ""
            rows = why_rows(plan, key, self._describe(key), preset)
        self.query_one("#why-rows", Rows).show(rows)
        self.query_one("#why").border_title = "why" if key is None else f"why {key.rpartition('.')[2]}"
        subtitle = "● recommended  ✎ yours"
        settings = self.query_one("#settings")
        settings.border_title = (
            "settings" if self.state.belongs(plan) else f"settings · {out_of_date(plan, self.state)}"
        )
        why = "tab twice: why" if self._remedies_of(plan) else "tab: why"
        settings.border_subtitle = f"{why} · {subtitle}" if self.has_class("-narrow") else subtitle

    def _describe(self, key: str) -> str:
        if self._descriptions is None:
            from tui.screens.plan.editor import description

            self._descriptions = description
        return self._descriptions(key)

    def _show_meter(self, plan: Plan, state: WizardState) -> None:
        self.query_one("#meter", Lines).lines = meter_lines(
            plan,
            state,
            max(20, self.size.width - 4),
            colour=not self.app.no_color and self.wizard.unicode,
            short=self.has_class("-short"),
            runs=f"runs in {self.wizard.services.runs}",
        )

    def _remedies_of(self, plan: Plan) -> bool:
        """Whether it has remedies to choose from."""
        return plan.estimate.fits == "no" and bool(plan.remedies) and not self.state.outdated

    def _show_remedies(self, plan: Plan) -> None:
        remedies = self.query_one("#remedies", PickList)
        no = self._remedies_of(plan)
        was = self.has_class("-no")
        self.set_class(no, "-no")
        if no:
            remedies.styles.height = min(len(plan.remedies), 4 if self.has_class("-short") else 6)
            remedies.show(lambda width: remedy_picks(plan, width))
        elif remedies.has_focus:
            self.query_one(SettingsList).focus()
        if was is not no:
            self.refresh_bindings()
        self._show_way_to_remedies()

    def on_descendant_focus(self) -> None:
        """What the keys do to the remedies depends on where the focus is."""
        self._show_way_to_remedies()

    def _show_way_to_remedies(self) -> None:
        way = "tab: choose from these"
        if self.query_one("#remedies").has_focus:
            way = "↑ ↓ choose · enter applies · tab: why"
        elif not self.query_one(SettingsList).has_focus:
            way = "tab from the settings: choose from these"
        told = [way] if self.has_class("-no") else []
        plan = self.state.plan
        if plan is not None and plan.estimate.fits == "no" and (more := len(warnings_beside(plan))):
            told.append(f"!: {counted(more, 'warning')}")
        self.query_one("#memory").border_subtitle = " · ".join(told)

    def explain(self) -> list[Row]:
        """The value under the cursor, when the settings have the focus."""
        plan = self.state.plan
        key = self._key(plan) if plan is not None and self.query_one(SettingsList).has_focus else None
        if plan is None or key is None:
            return super().explain()
        return [row((key, "accent")), *why_rows(plan, key, self._describe(key))]

    # Where the cursor is

    def _setting(self, plan: Plan) -> Setting | None:
        current = self.query_one(SettingsList).current
        if current is None:
            return None
        return next((one for one in shown_settings(plan, advanced=True) if one.label == current.key), None)

    def _cell(self, plan: Plan) -> int:
        setting = self._setting(plan)
        count = len(setting.keys) if setting else 1
        return self.query_one(SettingsList).at % count

    def _key(self, plan: Plan) -> str | None:
        setting = self._setting(plan)
        return setting.keys[self._cell(plan)] if setting else None

    @on(PickList.Moved, "#settings-list")
    def _moved(self, event: PickList.Moved) -> None:
        if self.state.plan is None:
            return
        if not isinstance(event, SettingsList.CellMoved):
            self.query_one(SettingsList).at = 0
        self._show_settings(self.state.plan)
        self._show_why(self.state.plan)
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
            self._advanced = not self._advanced
            self._show_settings(plan)
            return
        key = self._key(plan)
        if key == "model":
            self.notify("Another model is chosen in step 2.", timeout=3)
        elif key is not None:
            self._open_editor(plan, key)

    def _open_editor(self, plan: Plan, key: str) -> None:
        from tui.screens.plan.editor import TYPED, ValueEditor

        editor = ValueEditor(self._here(plan), self.wizard.services, self._take)
        place = self._popup_place()

        def answered(answer: str | None) -> None:
            if answer == TYPED:
                self.app.push_screen(editor.field(key, place))

        self.app.push_screen(editor.popup(key, place), answered)

    def _here(self, plan: Plan) -> Plan:
        """The plan for what is chosen now: what is out of date prices values for the device that will have them."""
        state = self.state
        if not state.outdated or state.device is None or state.model is None:
            return plan
        profile = None if state.dataset is None else state.dataset.profile
        return replace(plan, device=state.device, model=state.model, data=profile, recommended={})

    def _popup_place(self) -> Offset:
        """Right below the value that is edited."""
        place = self.query_one(SettingsList).place_of_cursor()
        return Offset(place.x + 18, place.y + 1)

    def _take(self, key: str, value: Any) -> None:
        self.edits.change({key: value})

    def action_recommended(self) -> None:
        """Bring the recommended value back."""
        plan = self.state.plan
        key = self._key(plan) if plan else None
        if plan is None or key is None:
            return
        if key in plan.overrides:
            self.edits.change_or_tell({}, [key])
        else:
            self.notify("This is the recommended value already.", timeout=2)

    @on(PickList.Chosen, "#remedies")
    def _remedy(self, event: PickList.Chosen) -> None:
        plan = self.state.plan
        if plan is not None:
            self.edits.change_or_tell(plan.remedies[int(event.pick.key)].changes)
