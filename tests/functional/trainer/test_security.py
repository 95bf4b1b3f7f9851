"""A run is its owner's alone: nothing listens, nothing in its folder is run, whoever wrote it."""

import os
import pickle
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from recommender.config.schema import FinetuneConfig
from tests.functional.trainer.conftest import CPU, ended, wait_for
from trainer.process.launch import launch, resume_run
from trainer.run.checkpoints import SEAL, complete_checkpoints, seal
from trainer.run.commands import request
from trainer.run.folder import RunFolder

pytestmark = pytest.mark.torch

MakeConfig = Callable[..., FinetuneConfig]


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("names", [("optimizer.pt", "training_args.bin"), ("scheduler.pt",), ("rng_state.pth",)])
def test_nothing_of_a_checkpoint_is_run(make_config: MakeConfig, tmp_path: Path, names: tuple[str, ...]) -> None:
    config = make_config(training__max_steps=4000, run__save_steps=2, run__eval_steps=4000)
    run = launch(config, plan_document={"estimate": {}}, device=CPU, runs=tmp_path / "runs")
    shot = wait_for(run, lambda shot: bool(shot.checkpoints))
    living = [process for process in (shot.state.supervisor, shot.state.worker) if process is not None]
    assert len(living) == 2
    for process in living:
        sockets = psutil.Process(process.pid).net_connections(kind="inet")
        assert [each for each in sockets if each.status == psutil.CONN_LISTEN] == []
        os.kill(process.pid, signal.SIGKILL)
    wait_for(run, lambda shot: not shot.alive)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (run, *run.rglob("*"))}
    assert {path for path, mode in modes.items() if mode & 0o077} == set()

    mark = tmp_path / "was-run"
    newest = complete_checkpoints(RunFolder(run))[-1]
    for name in names:
        (newest / name).write_bytes(pickle.dumps(Evil(mark)))
    (newest / SEAL).unlink()
    seal(newest)
    resume_run(run)
    again = wait_for(run, lambda shot: ended(shot) or (len(shot.checkpoints) > 1 and shot.alive and not shot.end))
    if again.alive:
        request(run, "stop_now")
        again = wait_for(run, ended)
    assert not mark.exists()
    assert again.status == "failed"
    assert "weights_only" in str(again.state.reason) or "Weights only" in str(again.state.reason)
