"""A plan whose machine, model or data is no longer the chosen one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.screens.made import MadeServices
from tests.functional.screens.plan.on_plan import go_to, take_card
from tests.functional.screens.seen import NARROW, WIDE, planned
from tui.screens.plan.screen import PlanScreen
from tui.widgets.top_bar import Step


async def test_undo_does_not_lead_to_a_plan_for_another_gpu(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"training.seed": 7})
        await seen.until(lambda: screen.check_action("undo", ()))
        await take_card(seen, "T4")
        await seen.until(lambda: seen.plan.device.name == "T4")
        assert not screen.check_action("undo", ())
        await seen.press("u")
        assert seen.plan.device.name == "T4" and seen.plan.config.training.precision == "fp16"
        assert seen.plan.config.training.seed == 7
        screen.edits.change({"training.seed": 8})
        await seen.press("u")
        await seen.until(lambda: seen.plan.config.training.seed == 7)


async def test_undo_does_not_lead_to_a_plan_for_other_data(services: MadeServices, rows: str, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(Path(rows).read_text().splitlines(keepends=True)[:40]))
    async with planned(services, [rows]) as seen:
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"training.seed": 7})
        seen.app.flow.data.change(train=[str(other)])
        await seen.until(lambda: seen.plan.data is not None and seen.plan.data.rows == 40)
        await seen.press("u")
        assert seen.plan.data is not None and seen.plan.data.rows == 40
        assert seen.plan.config.training.seed == 7


async def test_undo_does_not_lead_to_a_plan_for_another_model(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"training.seed": 7})
        seen.app.flow.model.choose("qwen3-4b")
        await seen.until(lambda: seen.app.state.model_name == "qwen3-4b" and seen.app.state.plan is not None)
        chosen = seen.plan.model
        await seen.press("u")
        assert seen.plan.model is chosen is seen.app.state.model


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_a_plan_for_another_gpu_is_out_of_date_until_it_is_made_anew(
    services: MadeServices, rows: str, size: tuple[int, int]
) -> None:
    async with planned(services, [rows], size=size) as seen:
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"training.precision": "bf16"})
        before = seen.plan
        await take_card(seen, "T4")
        await seen.sees("this did not work", "settings · out of date: for RTX 4090")
        assert seen.app.state.stale and screen.has_class("-stale")
        await seen.press("a", "p", "ctrl+s", "t", "b", "T", "g")
        assert len(seen.app.screen_stack) == 1 and seen.app.at is Step.PLAN
        assert "^s save" not in seen.text and "alternatives" not in seen.lines[-1]
        # Another edit is kept, and the error stays: bf16 is what is wrong.
        screen.edits.change({"training.seed": 7})
        assert seen.plan.config.training.seed == 7
        await seen.until(lambda: Step.PLAN not in seen.app.state.working)
        await seen.sees("this did not work", "settings · out of date: for RTX 4090")
        await go_to(seen, "precision")
        await seen.press("enter")
        await seen.sees("enter chooses")
        assert "recommended" not in seen.line("fp32 ")
        await seen.press("escape", "backspace")
        await seen.until(lambda: not seen.app.state.stale)
        await seen.loses("this did not work", "out of date")
        assert seen.plan.device.name == "T4" and seen.plan.config.training.precision == "fp16"
        assert seen.plan.config.training.seed == 7 and before.device.name.endswith("4090")
        await seen.sees("^s save" if size == WIDE else "g check")


async def test_a_plan_that_is_out_of_date_is_not_checked(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await seen.press("1", "down", "space", "5")
        await seen.sees("The plan was made for another machine, model or data: 4 makes it anew.")
        await seen.press("f5", "g", "g")
        assert not services.started
