"""Edits on the Plan screen: made or refused with a sentence, undone and redone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding

from presets.errors import WizardError
from tui.screens.base import Part
from tui.terminal.sanitize import clean

if TYPE_CHECKING:
    from textual.binding import BindingType

    from tui.screens.base import StepScreen
    from tui.wizard.draft import AppliedPreset


class PlanEdits(Part):
    """Edits of the draft's values, a part of the Plan screen.

    Args:
        screen: The Plan screen.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("u", "undo", "undo"), Binding("U", "redo", "redo")]

    def __init__(self, screen: StepScreen) -> None:
        super().__init__(screen)
        self._offered = (False, False)

    def change_or_tell(
        self, changes: Mapping[str, Any], without: Sequence[str] = (), preset: AppliedPreset | None = None
    ) -> None:
        """Edit the draft, or say why that cannot be."""
        try:
            self.wizard.flow.plan.edit(changes, without, preset)
        except WizardError as error:
            self.tell(error)

    def tell(self, error: WizardError) -> None:
        """Say what went wrong without leaving the form."""
        self.screen.notify(clean(f"{error.message} {error.remedy}"), severity="error", timeout=8, markup=False)

    def change(self, changes: Mapping[str, Any], without: Sequence[str] = ()) -> None:
        """Edit the draft; the plan follows.

        Args:
            changes: Dotted key to value.
            without: Keys that go back to what is recommended.

        Raises:
            InputError: a value that its key cannot take.
        """
        self.wizard.flow.plan.edit(changes, without)

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to undo."""
        return bool(self.state.history.past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an edit to redo."""
        return bool(self.state.history.future)

    def follow_history(self) -> None:
        """Offer the keys that the history has something for."""
        offered = (self.can_undo, self.can_redo)
        if offered != self._offered:
            self._offered = offered
            self.screen.refresh_bindings()

    def action_undo(self) -> None:
        """Undo the last edit."""
        self.wizard.flow.plan.undo()

    def action_redo(self) -> None:
        """Redo the edit that was undone last."""
        self.wizard.flow.plan.redo()
