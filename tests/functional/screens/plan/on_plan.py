"""What the tests of the Plan screen do on it."""

from __future__ import annotations

from tests.functional.screens.seen import Seen
from tui.screens.plan.lists import SettingsList
from tui.screens.plan.screen import PlanScreen


async def go_to(seen: Seen, label: str) -> None:
    """Put the cursor on a row of the settings."""
    screen = seen.app.screen
    assert isinstance(screen, PlanScreen)
    screen.query_one(SettingsList).move_to(label)
    await seen.pilot.pause()


async def does_not_fit(seen: Seen) -> None:
    await go_to(seen, "method")
    await seen.press("enter", "end", "enter")
    await seen.until(lambda: seen.plan.estimate.fits == "no")


async def take_card(seen: Seen, name: str) -> None:
    """Plan for a what-if card, as on the Machine screen."""
    await seen.press("1", "w", *name)
    await seen.sees("what-if gpu")
    await seen.press("enter")
    await seen.until(lambda: seen.app.state.device is not None and seen.app.state.device.simulated)
    await seen.press("4")
