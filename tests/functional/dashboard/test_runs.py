"""The list of runs: what it says, and that nothing is done without asking."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.dashboard.made import MadeRun
from tests.functional.dashboard.seen import opened
from trainer.process import launch
from trainer.process.consent import has_consent, require_consent
from tui.screens.runs.text import model_and_data
from tui.screens.train.screen import TrainScreen

Make = Callable[..., MadeRun]


@pytest.fixture
def three(make: Make) -> tuple[MadeRun, MadeRun, MadeRun]:
    """A finished, a dead and a live run, the last the newest."""
    old = make("20261119-0900-old-one")
    old.begin()
    old.train(400)
    old.finish()
    dead = make("20261120-1000-dead-one", now=old.now + 5, alive=False)
    dead.begin()
    live = make("20261121-1100-live-one", now=dead.now + 5)
    live.begin()
    live.train(150)
    return old, dead, live


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 50)])
async def test_every_run_with_its_state(three: tuple[MadeRun, ...], tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(None, size, runs=tmp_path / "runs") as seen:
        await seen.sees(
            "live-one", "dead-one", "old-one", "✓ finished", "✗ failed", "● training", "its processes are gone"
        )
        await seen.sees("150/400", "house-style", "SmolLM2-135M-Instruct")
        order = [seen.text.index(name) for name in ("live-one", "dead-one", "old-one")]
        assert order == sorted(order)


async def test_enter_watches(three: tuple[MadeRun, ...], tmp_path: Path) -> None:
    async with opened(None, runs=tmp_path / "runs") as seen:
        await seen.sees("live-one")
        await seen.press("enter")
        await seen.until(lambda: isinstance(seen.app.screen, TrainScreen))
        await seen.sees("step 150 / 400")
        await seen.press("R")
        await seen.sees("dead-one")
        await seen.press("escape")
        await seen.sees("step 150 / 400")


async def test_removing_asks(three: tuple[MadeRun, ...], tmp_path: Path) -> None:
    old, _, live = three
    async with opened(None, runs=tmp_path / "runs") as seen:
        await seen.sees("live-one")
        await seen.press("delete", "down", "down", "delete")
        await seen.sees("y remove · n leave it")
        await seen.press("n")
        assert old.path.exists()
        await seen.press("delete", "y")
        await seen.until(lambda: not old.path.exists())
        await seen.until(lambda: "✓ finished" not in seen.text)
    assert live.path.exists()


async def test_stopping_asks(three: tuple[MadeRun, ...], tmp_path: Path) -> None:
    live = three[2]
    async with opened(None, runs=tmp_path / "runs") as seen:
        await seen.sees("live-one")
        await seen.press("s")
        await seen.sees("stop the run?")
        await seen.press("s")
        await seen.until(live.folder.commands.exists)
    assert json.loads(live.folder.commands.read_text())["command"] == "stop"


async def test_the_keys_are_those_of_the_run_under_the_cursor(three: tuple[MadeRun, ...], tmp_path: Path) -> None:
    async with opened(None, runs=tmp_path / "runs") as seen:
        await seen.sees("live-one", "⏎ watch  s stop  esc back")
        await seen.press("down")
        await seen.sees("⏎ watch  r resume  del remove  esc back")
        await seen.press("down")
        await seen.sees("⏎ watch  del remove  esc back")


async def test_what_cannot_be_resumed_says_why(three: tuple[MadeRun, ...], tmp_path: Path) -> None:
    async with opened(None, runs=tmp_path / "runs") as seen:
        await seen.sees("live-one")
        await seen.press("down")
        await seen.sees("r resume")
        await seen.press("r")
        await seen.sees("y resume · n leave it")
        (three[1].path / "plan.json").write_text("{")
        await seen.press("y")
        await seen.sees("plan.json")


async def test_a_run_whose_command_nobody_agreed_to_asks(
    three: tuple[MadeRun, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    goes_on: list[bool] = []

    def resume(path: Path, *, allow_on_end: bool, log: object) -> Path:
        goes_on.append(allow_on_end)
        require_consent("touch there", allowed=allow_on_end)
        return path

    monkeypatch.setattr(launch, "resume_run", resume)
    async with opened(None, runs=tmp_path / "runs") as seen:
        await seen.sees("live-one")
        await seen.press("down", "r", "y")
        await seen.sees("touch there", "y run it then")
        await seen.press("n", "r", "y")
        await seen.sees("touch there", "y run it then")
        await seen.press("y")
        await seen.sees("goes on")
    assert goes_on == [False, False, True]
    assert has_consent("touch there")


async def test_a_new_run_appears(make: Make, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    async with opened(None, runs=tmp_path / "runs") as seen:
        await seen.sees("no runs yet")
        make("20261121-1200-newest").begin()
        await seen.sees("newest")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("model: org/name\ndata: {train: [/data/a.jsonl, {path: b.csv, weight: 2}]}", ("org/name", "a.jsonl, b.csv")),
        ("model: /models/my-model\n", ("my-model", "")),
        ("model: [", ("", "")),
        ("- a list", ("", "")),
        ("model: 3\ndata: 7", ("3", "")),
    ],
)
def test_model_and_data_of_a_configuration(tmp_path: Path, config: str, told: tuple[str, str]) -> None:
    (tmp_path / "config.yaml").write_text(config)
    assert model_and_data(tmp_path) == told
