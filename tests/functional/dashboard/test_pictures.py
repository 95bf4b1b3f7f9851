"""The dashboard of a recorded run and the list of runs, as pictures: nothing on them changes unseen."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from tests.functional.dashboard.made import BEGAN, MadeRun
from tests.functional.dashboard.seen import Dashboard, Seen
from tests.functional.picture import SIZES, Compare, Size
from trainer.run.folder import append_line
from trainer.run.state import fold
from tui.screens.runs.screen import RunsScreen

RECORDED = Path(__file__).parents[2] / "fixtures" / "recorded" / "smollm2-lora-cpu.jsonl"
RUNS = Path("runs")
Act = Callable[[Seen], Awaitable[None]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are shown below a folder whose name does not change, in one time zone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def recorded(until: int) -> MadeRun:
    """A live run that has recorded so many steps of the real one."""
    lines = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    made = MadeRun(RUNS / "20261121-0858-smollm2-135m-house-style", now=lines[0]["t"])
    for line in lines:
        made.now = line["t"]
        append_line(made.folder.events, line)
        made.state = fold(made.state, line)
        if line["kind"] == "step" and line["step"] == until:
            break
    made.save()
    return made


class RunsAt(Dashboard):
    """The list of runs at a fixed time."""

    def get_default_screen(self) -> Screen[Any]:
        return RunsScreen(self.runs_dir, clock=lambda: BEGAN + 3600, poll_seconds=0.02)


def taking(compare: Compare, app: Dashboard, size: Size, act: Act) -> None:
    async def acted(pilot: Pilot[int]) -> None:
        await act(Seen(app, pilot))

    compare(app, size, acted)


@pytest.mark.parametrize("size", SIZES)
def test_training(assert_picture: Compare, size: Size) -> None:
    async def act(seen: Seen) -> None:
        await seen.sees("● training", "step 40 / 56", "predicted")

    taking(assert_picture, Dashboard(recorded(40), RUNS), size, act)


@pytest.mark.parametrize("size", SIZES)
def test_stopping(assert_picture: Compare, size: Size) -> None:
    async def act(seen: Seen) -> None:
        await seen.sees("step 40 / 56")
        await seen.press("s")
        await seen.sees("stop the run?", "Keep going")

    taking(assert_picture, Dashboard(recorded(40), RUNS), size, act)


@pytest.mark.parametrize("size", SIZES)
def test_finished(assert_picture: Compare, size: Size) -> None:
    async def act(seen: Seen) -> None:
        await seen.sees("✓ finished", "step 56 / 56")

    taking(assert_picture, Dashboard(recorded(999), RUNS), size, act)


@pytest.mark.parametrize("size", SIZES)
def test_runs(assert_picture: Compare, size: Size) -> None:
    old = MadeRun(RUNS / "20261119-0900-old-one")
    old.begin()
    old.train(400)
    old.finish()
    failed = MadeRun(RUNS / "20261120-1000-failed-one", now=old.now + 5)
    failed.begin()
    failed.fail("CUDA is out of memory.")
    dead = MadeRun(RUNS / "20261120-1100-dead-one", now=failed.now + 5, alive=False)
    dead.begin()
    live = MadeRun(RUNS / "20261121-1200-live-one", now=dead.now + 5)
    live.begin()
    live.train(150)

    async def act(seen: Seen) -> None:
        await seen.sees("live-one", "dead-one", "failed-one", "old-one", "150/400")

    taking(assert_picture, RunsAt(None, RUNS), size, act)
