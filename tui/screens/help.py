"""`?`: what the focused thing is, and every key that works here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.screens.popup import TextPopup
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
    seen: set[str] = set()
    for _, binding, enabled, _ in screen.active_bindings.values():
        if enabled and binding.description and binding.action not in seen:
            seen.add(binding.action)
            shown = binding.key_display or screen.app.get_key_display(binding)
            rows.append(row((f"  {cell(shown, 12)}", "caution"), binding.description, indent=14))
    rows.append(row((f"  {cell('1-6', 12)}", "caution"), "jump to a step", indent=14))
    rows.append(row((f"  {cell('^p or :', 12)}", "caution"), "the palette: everything that can be done", indent=14))
    return rows
