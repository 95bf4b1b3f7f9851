"""Where the runs of these tests go, and that none of them outlives its test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.trainer.conftest import rows, tiny_model, wait_for
from trainer.history.reader import RunReader

__all__ = ["rows", "tiny_model"]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """Folder of the test's runs; whatever still lives in it when the test is over is ended."""
    folder = tmp_path / "runs"
    yield folder
    for run in folder.glob("*"):
        state = RunReader(run).poll().state
        for process in (state.supervisor, state.worker):
            if process is not None and process.alive():
                os.kill(process.pid, signal.SIGKILL)
        wait_for(run, lambda shot: not shot.alive)
