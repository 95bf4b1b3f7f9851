"""The wizard in a test: read as plain text, waited for by condition, driven by keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from recommender.plan.types import Plan
from tests.functional.screens.made import MadeServices
from tui.widgets.top_bar import Step
from tui.wizard.app import WizardApp
from tui.wizard.draft import Draft
from tui.wizard.state import WizardState

PATIENCE = 120.0
"""Seconds after which a condition that does not come true fails a test."""
WIDE, NARROW = (120, 40), (80, 24)


@dataclass
class Seen:
    """What a person sees, and their keyboard."""

    app: WizardApp
    pilot: Pilot[int]

    @property
    def lines(self) -> list[str]:
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def plan(self) -> Plan:
        assert self.app.state.plan is not None
        return self.app.state.plan

    async def until(self, condition: Callable[[], object]) -> None:
        end = monotonic() + PATIENCE
        while not condition():
            assert monotonic() < end, f"this did not come to be seen:\n{self.text}"
            await self.pilot.pause(0.02)
        # What was seen may be the first part of a screen whose rest is still being laid out.
        await self.pilot.pause()

    async def sees(self, *texts: str) -> None:
        await self.until(lambda: all(text in self.text for text in texts))

    async def loses(self, *texts: str) -> None:
        await self.until(lambda: not any(text in self.text for text in texts))

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def fill(self, field: str, text: str) -> None:
        """Put a text into a field, as pasting does, and press enter."""
        found = self.app.screen.query_one(field, Input)
        found.focus()
        found.value = text
        await self.press("enter")

    def line(self, part: str) -> str:
        found = [line for line in self.lines if part in line]
        assert found, f"no line with {part!r}:\n{self.text}"
        return found[0]


@asynccontextmanager
async def wizard(
    services: MadeServices, *, start: Step = Step.MACHINE, size: tuple[int, int] = WIDE, **options: Any
) -> AsyncIterator[Seen]:
    state = WizardState(Draft(**options.pop("state", {})))
    app = WizardApp(services, state, start=start, **options)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield Seen(app, pilot)


@asynccontextmanager
async def planned(
    services: MadeServices, data: list[str], *, size: tuple[int, int] = WIDE, **options: Any
) -> AsyncIterator[Seen]:
    """Opened with a model and data, as the command line does."""
    state = {"model_name": options.pop("model", "llama-3.1-8b-instruct"), "data": {"train": data}}
    state |= options.pop("state", {})
    async with wizard(services, start=Step.PLAN, size=size, state=state, **options) as seen:
        await seen.until(lambda: seen.app.state.plan is not None and seen.app.state.dataset is not None)
        await seen.sees("learning_rate")
        yield seen
