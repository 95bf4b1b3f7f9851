"""`?`: what the focused thing is, and every key that works here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.screens.popup import TextPopup
from tui.widgets.key_bar import described_keys
from tui.widgets.rows import Row, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from textual.screen import Screen


class HelpScreen(TextPopup):
    """Shows help."""

    def __init__(self, rows: list[Row]) -> None:
        super().__init__("help", rows)


def help_for(screen: Screen[Any]) -> list[Row]:
    """The screen's own words about what has the focus, then the keys."""
    from tui.screens.base import StepScreen

    rows = [*screen.explain(), row()] if isinstance(screen, StepScreen) else []
    rows.append(row(("keys", "accent")))
    for _, binding in described_keys(screen):
        if not binding.action.startswith("go("):
            shown = binding.key_display or screen.app.get_key_display(binding)
            rows.append(row((f"  {cell(shown, 12)}", "caution"), binding.description, indent=14))
    rows.append(row((f"  {cell('1-6', 12)}", "caution"), "jump to a step", indent=14))
    rows.append(row((f"  {cell('^p or :', 12)}", "caution"), "the palette: everything that can be done", indent=14))
    return rows
