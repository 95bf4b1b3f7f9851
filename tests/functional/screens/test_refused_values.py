"""A value that is refused is refused where it was typed: the window stays, with the text and the reason."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from presets.errors import InputError
from recommender.plan.types import Plan
from tests.functional.screens.made import MadeServices
from tests.functional.screens.plan.on_plan import go_to
from tests.functional.screens.seen import NARROW, WIDE, Seen, planned
from tui.screens.plan.screen import PlanScreen
from tui.screens.popup import PickPopup, ValuePopup
from tui.widgets.top_bar import Step
from tui.wizard.plan_service import RealPlans


async def refused(seen: Seen, text: str, reason: str, field: str = "#value") -> None:
    """Type a text into the window that is open: it stays, and says why."""
    window = seen.app.screen
    await seen.fill(field, text)
    await seen.sees("✗", reason)
    assert seen.app.screen is window
    assert window.query_one(field, Input).value == text
    assert not seen.app.state.errors


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize(
    ("label", "text", "reason"),
    [
        ("r / lora_alpha", "7/x", "lora.r"),
        ("r / lora_alpha", "0", "lora.r"),
        ("learning_rate", "fast", "training.learning_rate"),
        ("epochs", "-1", "training.num_train_epochs"),
        ("max_length", "long", "data.max_length"),
        ("batch × accumulation", "1.5", "training.per_device_train_batch_size"),
        ("max_steps", "abc", "training.max_steps"),
        ("seed", "x", "training.seed"),
    ],
)
async def test_a_refused_value_of_the_plan_stays_in_its_window(
    services: MadeServices, rows: str, size: tuple[int, int], label: str, text: str, reason: str, slow: bool
) -> None:
    async with planned(services, [rows], size=size) as seen:
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        await go_to(seen, "advanced")
        await seen.press("enter")
        await go_to(seen, label)
        before = seen.plan
        await seen.press("enter")
        await seen.until(lambda: isinstance(seen.app.screen, ValuePopup))
        # Where the last edit took long, the next is worked out in a thread.
        seen.app.flow.plan.replan_seconds = 10.0 if slow else 0.0
        await refused(seen, text, reason)
        assert seen.plan is before and not seen.app.state.working
        await seen.press("escape")
        await seen.until(lambda: seen.app.screen is screen)
        assert seen.app.at is Step.PLAN


class Refuses(RealPlans):
    """Takes no full fine-tuning."""

    def replan(self, plan: Plan, changes: Mapping[str, Any], without: Iterable[str] = ()) -> Plan:
        if changes.get("method") == "full":
            raise InputError("method full is not for this model.", remedy="Take lora.")
        return RealPlans.replan(self, plan, changes, without)


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_a_refused_choice_stays_in_its_list(tmp_path: Path, rows: str, size: tuple[int, int]) -> None:
    async with planned(MadeServices(tmp_path / "runs", planning=Refuses), [rows], size=size) as seen:
        await go_to(seen, "method")
        await seen.press("enter", "end", "enter")
        await seen.sees("✗ method full is not for this model.", "→ Take lora.")
        assert isinstance(seen.app.screen, PickPopup)
        # Another choice is another matter.
        await seen.press("up")
        await seen.loses("method full is not for this model.")
        await seen.press("enter")
        await seen.until(lambda: seen.plan.config.method == "lora")


async def test_the_other_windows_keep_what_was_refused(services: MadeServices, rows: str, tmp_path: Path) -> None:
    async with planned(services, [rows, rows]) as seen:
        await seen.press("dollar_sign")
        await refused(seen, "cheap", "is not a price")
        await seen.press("escape", "ctrl+s")
        await refused(seen, str(tmp_path), "Name a file in it")
        await seen.press("escape", "3", "e")
        await refused(seen, "4 k", "is not a whole number")
        await seen.press("escape", "V")
        dataset = seen.app.state.dataset
        await refused(seen, str(Path(rows).with_name("trian.jsonl")), "Did you mean")
        assert seen.app.state.dataset is dataset
        await seen.press("escape", "W")
        await seen.sees("enter changes a weight")
        await seen.press("enter")
        await refused(seen, "often", "is not a number")
