"""A dashboard in a test: opened on a made run, read as plain text, waited for by condition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen

from tests.functional.dashboard.made import MadeRun
from tui.dashboard.app import WatchApp
from tui.screens.runs.screen import RunsScreen
from tui.screens.train.screen import TrainScreen

PATIENCE = 120.0
"""Seconds after which a condition that does not come true fails a test."""


class Dashboard(WatchApp):
    """The watch application with the test's clock, looking often."""

    def __init__(self, made: MadeRun | None, runs: Path, **options: Any) -> None:
        super().__init__(made.path if made else None, runs, **options)
        self.made = made

    def get_default_screen(self) -> Screen[Any]:
        if self.made is None:
            return RunsScreen(self.runs_dir, poll_seconds=0.02)
        return TrainScreen(self.made.path, clock=self.made.clock, poll_seconds=0.02)


@dataclass
class Seen:
    """What a person sees, and their keyboard."""

    app: Dashboard
    pilot: Pilot[int]

    @property
    def lines(self) -> list[str]:
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def until(self, condition: Callable[[], object]) -> None:
        end = monotonic() + PATIENCE
        while not condition():
            assert monotonic() < end, f"this did not come to be seen:\n{self.text}"
            await self.pilot.pause(0.02)

    async def sees(self, *texts: str) -> None:
        await self.until(lambda: all(text in self.text for text in texts))

    async def settled(self) -> str:
        """What is seen once nothing moves any more."""
        before = ""

        def still() -> bool:
            nonlocal before
            last, before = before, self.text
            return last == before

        await self.until(still)
        return before

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()


@asynccontextmanager
async def opened(
    made: MadeRun | None, size: tuple[int, int] = (120, 40), *, runs: Path | None = None, **options: Any
) -> AsyncIterator[Seen]:
    """Open the dashboard of a run, or the list of runs."""
    folder = runs or (made.path.parent if made else Path())
    app = Dashboard(made, folder, **options)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield Seen(app, pilot)
