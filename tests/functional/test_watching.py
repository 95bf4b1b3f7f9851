"""A real run in a real pseudo-terminal: detached from, killed away from, come back to, stopped."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from recommender.config.io import write_config
from recommender.config.schema import FinetuneConfig
from tests.functional.conftest import Run
from tests.functional.terminal import Terminal
from tests.functional.trainer.conftest import ended, make_config, own_locks, rows, tiny_model, wait_for
from trainer.control import request
from trainer.reader import RunReader

pytestmark = pytest.mark.torch
__all__ = ["make_config", "own_locks", "rows", "tiny_model"]


def test_watch_detach_kill_and_come_back(run: Run, make_config: Callable[..., FinetuneConfig], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    write_config(config, make_config(training__max_steps=100_000, run__eval_steps=100_000, run__save_steps=100_000))
    started = run("train", config, "--detach")
    assert started.returncode == 0, started.stderr
    folder = Path(started.stdout.strip())
    runs = tmp_path / "runs"
    try:
        wait_for(folder, lambda shot: len(shot.steps) >= 3)
        with Terminal("watch", runs=runs) as wide, Terminal("watch", runs=runs, columns=80, rows=24) as narrow:
            wide.wait("training")
            wide.wait("loss")
            narrow.wait("training")
            wide.press("\x04")
            assert wide.wait_exit() == 0
            os.kill(narrow.child.pid, signal.SIGKILL)
        assert RunReader(folder).poll().alive
        with Terminal("watch", folder.name, runs=runs) as again:
            again.wait("training")
            again.press("\x04")
            assert again.wait_exit() == 0
    finally:
        request(folder, "stop")
        shot = wait_for(folder, ended)
    assert shot.status == "stopped"
    listed = run("runs")
    assert "stopped" in listed.stdout
    plain = run("watch", folder.name, "--plain")
    assert plain.returncode == 0
    assert "stopped" in plain.stdout
    removed = run("rm", folder.name, "--yes")
    assert removed.returncode == 0, removed.stderr
    assert not folder.exists()
