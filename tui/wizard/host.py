"""Interface of the application to the wizard's screens, which it shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tui.wizard.flow_host import FlowHost

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui.wizard.flow import Flow


class WizardHost(FlowHost, Protocol):
    """The application as its screens see it: the flow's own view, its flow, and the ways to other steps."""

    flow: Flow
    unicode: bool
    """Whether more than ASCII may be drawn."""

    async def action_go(self, number: int) -> None:
        """Go to a step."""

    async def show_run(self, run: Path) -> None:
        """Watch a run."""

    def push_screen(self, screen: Screen[Any], callback: Callable[[Any], Any] | None = None) -> object:
        """Open a screen above the step; `callback` is given its answer."""
