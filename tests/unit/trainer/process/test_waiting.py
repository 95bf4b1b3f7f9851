"""Resuming a run that was just asked to stop."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from presets.errors import InputError
from trainer.process import stopping
from trainer.process.stopping import WAIT_SECONDS, wait_for_end
from trainer.run.folder import RunFolder
from trainer.run.identity import Process
from trainer.run.state import RunState, write_state

GONE = replace(Process.this(), start=1.0)


class Clock:
    """Time that passes only while somebody sleeps; `ends` is when the run's processes are gone."""

    def __init__(self, folder: RunFolder, ends: float | None) -> None:
        self.now, self.folder, self.ends = 0.0, folder, ends

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.ends is not None and self.now >= self.ends:
            write_state(self.folder, RunState(status="stopped", supervisor=GONE))


def a_run(
    path: Path, *, status: str = "training", asked: str | None = None, before: bool = False, stopping: bool = False
) -> RunFolder:
    """A run whose supervisor is this very process, with a request written now or before it began."""
    folder = RunFolder(path / "a-run")
    folder.path.mkdir()
    write_state(folder, RunState(status=status, supervisor=Process.this(), stopping=stopping))
    if asked:
        line = {"t": Process.this().start - 10 if before else time.time(), "id": "1", "command": asked}
        folder.commands.write_text(json.dumps(line) + "\n")
    return folder


@pytest.mark.parametrize("asked", ["stop", "stop_now"])
def test_it_is_waited_for_and_that_is_told(tmp_path: Path, asked: str) -> None:
    folder, told = a_run(tmp_path, asked=asked), list[str]()
    clock = Clock(folder, ends=25)
    state = wait_for_end(folder, told.append, clock=clock, sleep=clock.sleep)
    assert state.status == "stopped"
    assert 25 <= clock.now < 26
    assert len(told) == 3
    assert "waiting for a-run to end" in told[0]


def test_so_is_one_that_has_ended_and_is_winding_up(tmp_path: Path) -> None:
    folder = a_run(tmp_path, status="stopped")
    clock = Clock(folder, ends=3)
    assert wait_for_end(folder, lambda _: None, clock=clock, sleep=clock.sleep).status == "stopped"


def test_so_is_one_whose_supervisor_got_a_signal(tmp_path: Path) -> None:
    folder = a_run(tmp_path, stopping=True)
    clock = Clock(folder, ends=3)
    assert wait_for_end(folder, lambda _: None, clock=clock, sleep=clock.sleep).status == "stopped"


@pytest.mark.parametrize(
    ("asked", "before"), [(None, False), ("pause", False), ("stop", True), ("stop_after_epoch", False)]
)
def test_a_run_that_was_not_asked_to_stop_is_not_waited_for(tmp_path: Path, asked: str | None, before: bool) -> None:
    folder = a_run(tmp_path, asked=asked, before=before)
    clock = Clock(folder, ends=None)
    with pytest.raises(InputError, match="is running"):
        wait_for_end(folder, lambda _: None, clock=clock, sleep=clock.sleep)
    assert clock.now == 0


def test_it_is_not_waited_for_without_end(tmp_path: Path) -> None:
    folder = a_run(tmp_path, asked="stop")
    clock = Clock(folder, ends=None)
    with pytest.raises(InputError, match="asked to stop") as raised:
        wait_for_end(folder, lambda _: None, clock=clock, sleep=clock.sleep)
    assert "--now" in raised.value.remedy
    assert WAIT_SECONDS <= clock.now < WAIT_SECONDS + 2 * stopping.LOOK_SECONDS
