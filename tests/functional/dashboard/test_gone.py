"""A run folder that goes away, or cannot be read any more, while the dashboard watches it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.functional.dashboard.made import MadeRun
from tests.functional.dashboard.seen import opened
from tui.terminal.errors import crash_log_path

Make = Callable[..., MadeRun]


def remove(made: MadeRun) -> None:
    shutil.rmtree(made.path)


def become_a_file(made: MadeRun) -> None:
    shutil.rmtree(made.path)
    made.path.write_text("no run")


@pytest.mark.parametrize("goes", [remove, become_a_file])
async def test_what_was_seen_stays_and_the_program_goes_on(make: Make, goes: Callable[[MadeRun], None]) -> None:
    made = make()
    made.begin()
    made.train(40)
    async with opened(made) as seen:
        await seen.sees("training")
        goes(made)
        await seen.sees("died", "its folder is gone", "no longer there")
        assert "○ starting" not in seen.text
        await seen.press("q")
        await seen.until(lambda: seen.app.return_code == 0)
    assert not crash_log_path().exists()
