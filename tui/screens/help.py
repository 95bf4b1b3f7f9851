"""Help of `?`: the focused thing, every key that works here, and the words of the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.screens.popup import TextPopup
from tui.widgets.key_bar import described_keys
from tui.widgets.rows import Row, row
from tui.widgets.text import cell
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from textual.screen import Screen


class HelpScreen(TextPopup):
    """Shows help."""

    def __init__(self, rows: list[Row]) -> None:
        super().__init__("help", rows)


def help_for(screen: Screen[Any]) -> list[Row]:
    """Rows of help: the screen's own text about the focus, then the keys, then the meaning of its words."""
    from tui.screens.base import StepScreen

    rows = [*screen.explain(), row()] if isinstance(screen, StepScreen) else []
    rows.append(row(("keys", "accent")))
    for _, binding in described_keys(screen):
        if not binding.action.startswith("go("):
            shown = binding.key_display or screen.app.get_key_display(binding)
            rows.append(row((f"  {cell(shown, 12)}", "caution"), binding.description, indent=14))
    rows.append(row((f"  {cell(f'1-{max(Step):d}', 12)}", "caution"), "jump to a step", indent=14))
    rows.append(row((f"  {cell('^p or :', 12)}", "caution"), "the palette: everything that can be done", indent=14))
    return [*rows, *_words(screen.STEP)] if isinstance(screen, StepScreen) else rows


def _words(step: Step) -> list[Row]:
    """The glossary's words of a step of the wizard."""
    from presets.glossary import load_glossary

    words = [entry for entry in load_glossary() if step.name.lower() in entry.screens]
    if not words:
        return []
    said = [row((f"  {cell(entry.word, 18)}", "label"), entry.says, indent=20) for entry in words]
    return [row(), row(("words", "accent")), *said]
