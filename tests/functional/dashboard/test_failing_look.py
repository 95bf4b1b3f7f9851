"""A look at runs that fails in an unforeseen way takes nothing down, and the next one that goes well is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.dashboard.made import MadeRun
from tests.functional.dashboard.seen import Seen, opened
from trainer.history import listing
from trainer.history.reader import RunReader
from trainer.process import launch, removal
from tui.screens.train.screen import TrainScreen
from tui.terminal.errors import crash_log_path

Make = Callable[..., MadeRun]


@pytest.fixture(autouse=True)
def own_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))


@pytest.fixture
def old(make: Make) -> MadeRun:
    """A run that was stopped half-way."""
    made = make("20261119-0900-old-one")
    made.begin()
    made.train(40)
    made.say("end", 1, status="stopped", reason="stopped as asked")
    return made


def fail(*_: Any, **__: Any) -> Any:
    """Fail as nobody foresaw."""
    raise RuntimeError("boom")


async def says_so(seen: Seen) -> None:
    """The sentence is seen, and the log has the traceback."""
    await seen.sees("lora-wizard itself failed", "boom")
    assert "boom" in crash_log_path().read_text()


async def test_the_list_of_runs(old: MadeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, broken, listed = [0], [True], listing.list_runs

    def look(folder: Path) -> Any:
        looks[0] += 1
        return fail() if broken[0] else listed(folder)

    monkeypatch.setattr(listing, "list_runs", look)
    async with opened(None, runs=tmp_path / "runs") as seen:
        await says_so(seen)
        await seen.sees("crash.log")
        await seen.until(lambda: looks[0] >= 3)
        assert crash_log_path().read_text().count("Traceback") == 1
        broken[0] = False
        await seen.sees("old-one")
        assert "itself failed" not in seen.text


@pytest.mark.parametrize(("keys", "place"), [(("r", "y"), launch), (("delete", "y"), removal)])
async def test_what_is_done_with_a_run(
    old: MadeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...], place: Any
) -> None:
    monkeypatch.setattr(place, "resume_run" if place is launch else "remove_run", fail)
    async with opened(None, runs=tmp_path / "runs") as seen:
        await seen.sees("old-one")
        await seen.press(*keys)
        await says_so(seen)
        await seen.press("enter")
        await seen.until(lambda: isinstance(seen.app.screen, TrainScreen))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_reader_of_a_run(
    old: MadeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    broken = [True]
    poll = RunReader.poll

    def polled(reader: RunReader, seconds: float | None = None) -> Any:
        return fail() if broken[0] else poll(reader, seconds)

    monkeypatch.setattr(RunReader, "poll", polled)
    async with opened(old, size) as seen:
        await says_so(seen)
        broken[0] = False
        await seen.sees("stopped as asked" if size[0] > 80 else "stopped")
        await seen.until(lambda: "itself failed" not in seen.text)


async def test_another_run_behind(old: MadeRun, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make("20261119-1000-other")
    other.begin()
    other.train(20)
    async with opened(other) as seen:
        await seen.sees("step 20")
        await seen.press("O")
        await seen.sees("lay which run behind?", "old-one")
        poll = RunReader.poll
        monkeypatch.setattr(
            RunReader, "poll", lambda reader, *args: fail() if reader.folder.path == old.path else poll(reader, *args)
        )
        await seen.press("enter")
        await says_so(seen)
        await seen.press("q")
