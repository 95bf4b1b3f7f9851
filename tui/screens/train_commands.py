"""What the palette offers for a run beyond the screen's keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

if TYPE_CHECKING:
    from tui.screens.train import TrainScreen


class RunCommands(Provider):
    """Copy the adapter's path, or the Python that loads it."""

    def _offers(self) -> tuple[tuple[str, str, Callable[[], None]], ...]:
        screen = cast("TrainScreen", self.screen)
        return (
            (
                "Copy the adapter's path",
                "to the terminal's clipboard (OSC 52), and show it",
                screen.action_copy_adapter,
            ),
            (
                "Copy the lines that load it",
                "Python, to the terminal's clipboard",
                screen.action_copy_lines,
            ),
        )

    async def discover(self) -> Hits:
        """List everything before anything is typed."""
        for title, help_, do in self._offers():
            yield DiscoveryHit(title, do, help=help_)

    async def search(self, query: str) -> Hits:
        """List what matches."""
        matcher = self.matcher(query)
        for title, help_, do in self._offers():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), do, help=help_)
