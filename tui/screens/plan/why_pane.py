"""Pane of the Plan screen with the reason of a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.screens.base import Part
from tui.screens.plan.text import model_rows, stale_note, why_rows
from tui.widgets.rows import Rows, row

if TYPE_CHECKING:
    from collections.abc import Callable

    from recommender.plan.types import Plan


class WhyPane(Part):
    """The pane `#why`, a part of the Plan screen."""

    _descriptions: Callable[[str], str] | None = None

    def show(self, plan: Plan, key: str | None, *, remedies: bool) -> None:
        """Show the reason of the value of a key; `remedies`: whether there are some, where tab leads first."""
        if key is None:
            rows = [row(("What is rarely changed: enter unfolds it.", "label"))]
        elif key == "model":
            rows = model_rows(plan)
        else:
            draft = self.state.draft
            preset = draft.preset.name if draft.preset is not None and draft.set_by_preset(key) else ""
            rows = why_rows(plan, key, self.describe(key), preset)
        self.screen.query_one("#why-rows", Rows).show(rows)
        self.screen.query_one("#why").border_title = "why" if key is None else f"why {key.rpartition('.')[2]}"
        subtitle = "● recommended  ✎ yours"
        settings = self.screen.query_one("#settings")
        settings.border_title = "settings" if self.state.belongs(plan) else f"settings · {stale_note(plan, self.state)}"
        why = "tab twice: why" if remedies else "tab: why"
        settings.border_subtitle = f"{why} · {subtitle}" if self.screen.has_class("-narrow") else subtitle

    def describe(self, key: str) -> str:
        """Return what the schema says about a key."""
        if self._descriptions is None:
            from tui.screens.plan.editor import description

            self._descriptions = description
        return self._descriptions(key)
