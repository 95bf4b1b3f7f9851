"""The two lists of the plan: the settings with several values a row, and the remedies."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.reactive import reactive

from tui.widgets.pick_list import PickList


class SettingsList(PickList):
    """The form: up and down between rows, left and right between the values of a row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "edit", key_display="enter"),
        Binding("left", "cell(-1)", show=False),
        Binding("right", "cell(1)", show=False),
        Binding("backspace", "screen.recommended", "recommended", key_display="backspace"),
    ]

    at: reactive[int] = reactive(0, repaint=False)

    class CellMoved(PickList.Moved):
        """Another value of the same row."""

    def action_cell(self, by: int) -> None:
        """Move to the next value of the row."""
        self.at += by
        if self.current is not None:
            self.post_message(self.CellMoved(self, self.current))


class RemedyList(PickList):
    """List of the remedies that would make the plan fit."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "apply", key_display="enter")]
