"""The length limit on the Data screen: longer, shorter, or typed."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from presets.errors import InputError
from tui.screens.base import Part
from tui.screens.data.text import next_length
from tui.wizard.draft import MAX_LENGTH


class MaxLength(Part):
    """`data.max_length`, a part of the Data screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "length(1)", "longer", key_display="+"),
        Binding("minus", "length(-1)", "shorter", key_display="-"),
        Binding("e", "type_length", "max_length"),
    ]

    def action_length(self, by: int) -> None:
        """Raise or lower the length limit."""
        context = self.state.model.max_position_embeddings if self.state.model else None
        self.wizard.flow.plan.edit({MAX_LENGTH: next_length(self.state.length, by, context)})

    def action_type_length(self) -> None:
        """Type the length limit."""
        from tui.screens.popup import ValuePopup

        self.screen.app.push_screen(
            ValuePopup(
                "max_length", str(self.state.length), self._take_length, hint="tokens a row may have; the rest is cut"
            )
        )

    def _take_length(self, text: str) -> None:
        try:
            length = int(text.replace(" ", ""))
        except ValueError:
            raise InputError(f"'{text}' is not a whole number.") from None
        if length < 2:
            raise InputError("max_length must be at least 2 tokens.")
        self.wizard.flow.plan.edit({MAX_LENGTH: length})
