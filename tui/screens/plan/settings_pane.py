"""Settings of the Plan screen: their values, the cursor, and the editor of a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual.geometry import Offset

from presets.errors import WizardError
from recommender.units import gib
from tui.screens.base import Part
from tui.screens.plan.form import Setting, followed_notes, shown_settings
from tui.screens.plan.lists import SettingsList
from tui.screens.plan.text import settings_picks

if TYPE_CHECKING:
    from recommender.plan.types import Plan
    from tui.screens.base import StepScreen
    from tui.screens.plan.edits import PlanEdits


class SettingsPane(Part):
    """The pane `#settings`, a part of the Plan screen.

    Args:
        screen: The Plan screen.
        edits: Its plan's edits.

    Attributes:
        advanced: Whether what is rarely changed is unfolded.
        followed: What the last edit moved beside its own, old and new, by key.
    """

    def __init__(self, screen: StepScreen, edits: PlanEdits) -> None:
        super().__init__(screen)
        self._edits = edits
        self.advanced = False
        self.followed: Mapping[str, tuple[str, str]] = {}

    def show(self, plan: Plan) -> None:
        """Show the plan's settings."""
        settings = self.screen.query_one(SettingsList)
        row_now = settings.current.key if settings.current else ""
        notes = self._notes(plan)
        settings.show(
            lambda width: settings_picks(
                plan, width, advanced=self.advanced, current=row_now, at=self._cell(plan), notes=notes
            )
        )

    def _notes(self, plan: Plan) -> Mapping[str, str]:
        """Notes by label: what gradient checkpointing saves, and what the last edit moved beside its own."""
        return {**self._saved(plan), **followed_notes(plan, self.followed)}

    def _saved(self, plan: Plan) -> Mapping[str, str]:
        """Note of the memory that gradient checkpointing saves, or would: it takes a second price."""
        key = "training.gradient_checkpointing"
        on = plan.config.training.gradient_checkpointing
        try:
            other = self.wizard.services.plans.price(plan, {key: not on})
        except WizardError:
            return {}
        saved = (other.peak.process_bytes - plan.estimate.peak.process_bytes) * (1 if on else -1)
        if saved <= 0:
            return {}
        return {"gradient_checkpointing": f"{'saves' if on else 'on saves'} {gib(saved)}"}

    def setting(self, plan: Plan) -> Setting | None:
        """Return the row under the cursor; None where it is none of a setting."""
        current = self.screen.query_one(SettingsList).current
        if current is None:
            return None
        return next((one for one in shown_settings(plan, advanced=True) if one.label == current.key), None)

    def _cell(self, plan: Plan) -> int:
        setting = self.setting(plan)
        count = len(setting.keys) if setting else 1
        return self.screen.query_one(SettingsList).at % count

    def key(self, plan: Plan) -> str | None:
        """Return the dotted key of the value under the cursor."""
        setting = self.setting(plan)
        return setting.keys[self._cell(plan)] if setting else None

    def open_editor(self, plan: Plan, key: str) -> None:
        """Open a window in which a value is edited."""
        from tui.screens.plan.editor import TYPED, ValueEditor

        editor = ValueEditor(self._for_draft(plan), self.wizard.services.plans, self._take)
        place = self._popup_place()

        def answered(answer: str | None) -> None:
            if answer == TYPED:
                self.screen.app.push_screen(editor.field(key, place))

        self.screen.app.push_screen(editor.popup(key, place), answered)

    def _for_draft(self, plan: Plan) -> Plan:
        """The plan's values for the draft's device, model and data, which the editor prices them for."""
        state = self.state
        if not state.stale or state.device is None or state.model is None:
            return plan
        profile = None if state.dataset is None else state.dataset.profile
        return replace(plan, device=state.device, model=state.model, data=profile, recommended={})

    def _popup_place(self) -> Offset:
        """Right below the value that is edited."""
        place = self.screen.query_one(SettingsList).place_of_cursor()
        return Offset(place.x + 18, place.y + 1)

    def _take(self, key: str, value: Any) -> None:
        self._edits.change({key: value})

    def action_recommended(self) -> None:
        """Set the value under the cursor back to the recommended one."""
        plan = self.state.plan
        key = self.key(plan) if plan else None
        if plan is None or key is None:
            return
        if key in plan.overrides:
            self._edits.change_or_tell({}, [key])
        else:
            self.screen.notify("This is the recommended value already.", timeout=2)
