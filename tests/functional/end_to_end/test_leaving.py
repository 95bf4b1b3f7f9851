"""A run that is left in every way there is, come back to, stopped, resumed and ended, in one story."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.functional.conftest import Run
from tests.functional.end_to_end.steps import (
    CTRL_D,
    ENTER,
    planned,
    set_max_steps,
    shows,
    start,
    trained_matrices,
)
from tests.functional.terminal import Terminal
from tests.functional.trainer.conftest import ended, wait_for
from trainer.history.reader import RunReader

pytestmark = pytest.mark.torch

ENDLESS = 100_000
"""Steps: the run is always ended by what the test does."""


def started_and_killed(model: Path, rows: Path, runs: Path) -> Path:
    """The wizard in a small terminal up to its dashboard, then killed; returns the run that it started."""
    with Terminal(str(model), str(rows), runs=runs, columns=80, rows=24) as wizard:
        planned(wizard)
        set_max_steps(wizard, ENDLESS)
        wizard.press("g")
        wizard.wait("disk")
        # Before the list is through: it starts by itself then.
        start(wizard, "lora")
        wizard.wait(lambda text: shows(r"○ (starting|loading)|✗", text) or "training" in text)
        assert "✗" not in wizard.text, wizard.text
        (run,) = runs.iterdir()
        wizard.wait(lambda text: "training" in text and shows(r"\bstep [1-9]", text))
        os.kill(wizard.child.pid, signal.SIGKILL)
        assert wizard.wait_exit() == -signal.SIGKILL
    return run


def goes_on(run: Path) -> None:
    """Wait until it has trained further than now."""
    step = RunReader(run).poll().state.step
    shot = wait_for(run, lambda shot: shot.state.step > step)
    assert shot.alive


def seen_from_another_wizard(runs: Path, run: Path) -> None:
    """`lora-wizard` and R in another terminal, then ctrl+d."""
    with Terminal(runs=runs) as wizard:
        wizard.wait("Machine")
        wizard.press("R")
        wizard.wait(run.name)
        wizard.press(ENTER)
        wizard.wait(lambda text: "training" in text and shows(r"\bstep [1-9]", text))
        wizard.press(CTRL_D)
        assert wizard.wait_exit() == 0
        assert f"lora-wizard watch {run.name}" in wizard.text
    goes_on(run)


def shorten(run: Path, steps: int) -> None:
    """Let a stopped run end after so many steps in all."""
    config = run / "config.effective.yaml"
    text, changed = re.subn(rf"max_steps: {ENDLESS}", f"max_steps: {steps}", config.read_text())
    assert changed == 1
    config.write_text(text)


def resumed(run: Path, runs: Path) -> None:
    """`lora-wizard resume` in a terminal: its dashboard up to the summary."""
    with Terminal("resume", run.name, runs=runs) as dashboard:
        dashboard.wait("finished")
        dashboard.wait(lambda text: "eval_loss" in text and "adapter" in text)
        dashboard.press("q")
        assert dashboard.wait_exit() == 0


def test_killed_detached_watched_stopped_and_resumed(tiny_model: Path, rows: Path, runs: Path, run: Run) -> None:
    folder = started_and_killed(tiny_model, rows, runs)
    goes_on(folder)
    seen_from_another_wizard(runs, folder)
    with Terminal("watch", runs=runs) as wide, Terminal("watch", folder.name, runs=runs, columns=80, rows=24) as narrow:
        for dashboard in (wide, narrow):
            dashboard.wait(lambda text: "training" in text and "loss" in text)
        wide.press("s")
        wide.wait("Save and stop")
        wide.press("s")
        for dashboard in (wide, narrow):
            dashboard.wait("stopped")
        wide.wait("lora-wizard resume")
        stopped = wait_for(folder, ended)
        assert stopped.status == "stopped", (stopped.state.reason, stopped.log)
        done = stopped.steps[-1].step
        assert (folder / "checkpoints" / f"checkpoint-{done}").is_dir()
        shorten(folder, done + 20)
        resumed(folder, runs)
        # A dashboard that was left open follows the run into its second life.
        for dashboard in (wide, narrow):
            dashboard.wait("finished")
            dashboard.press("q")
            assert dashboard.wait_exit() == 0
    shot = RunReader(folder).poll()
    assert [point.step for point in shot.steps] == list(range(1, done + 21))
    assert trained_matrices(tiny_model, shot.adapter) == (14, True)
    assert "finished" in run("runs").stdout
    plain = run("watch", folder.name, "--plain")
    assert plain.returncode == 0
    assert "finished" in plain.stdout
    removed = run("rm", folder.name, "--yes")
    assert removed.returncode == 0, removed.stderr
    assert not folder.exists()
