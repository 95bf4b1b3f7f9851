"""What a supervisor and its worker make of signals: one stop saves, whoever gets it; a second one asks for at once."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from recommender.machine.facts import Device
from trainer.process import device_lock, supervisor
from trainer.process.device_lock import acquire, lock_path
from trainer.process.ending import STOP_NOW, unsaid_end
from trainer.process.supervisor import Supervisor
from trainer.run.folder import RunFolder, create
from trainer.run.identity import Process
from trainer.run.state import RunState, write_state
from trainer.worker.loop.requests import SAME_STOP_SECONDS, Requests, StopNow

CPU = Device(kind="cpu", name="this CPU", free_bytes=2**30, total_bytes=2**30, cores=2)


def test_the_supervisor_passes_a_second_stop_on_as_at_once_and_a_third_as_kill(tmp_path: Path) -> None:
    sent: list[int] = []
    watching = Supervisor(RunFolder(tmp_path), CPU, resume=False)
    worker = SimpleNamespace(poll=lambda: None, send_signal=sent.append)
    watching.worker = cast("subprocess.Popen[bytes]", worker)
    for _ in range(4):
        watching._stop()
    assert sent == [signal.SIGTERM, STOP_NOW, signal.SIGKILL, signal.SIGKILL]


def test_a_worker_that_could_not_listen_yet_was_stopped_as_asked(tmp_path: Path) -> None:
    assert unsaid_end(-STOP_NOW, RunFolder(tmp_path), asked=True)["status"] == "stopped"


def test_two_at_once_are_one_stop_and_a_later_one_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = Requests(RunFolder(tmp_path))
    requests._terminate()
    requests._terminate()
    assert requests.stop
    later = time.monotonic() + SAME_STOP_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(StopNow):
        requests._terminate()


def test_the_first_signal_after_an_asked_stop_lets_it_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = Requests(RunFolder(tmp_path), stop=True)
    requests._terminate()
    assert requests.stop
    # It was the one that counts as the first: the next, if it comes later, is a second.
    later = time.monotonic() + SAME_STOP_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(StopNow):
        requests._terminate()


def test_the_end_is_told_by_the_last_line_that_says_something(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.log.write_text("CUDA error: unspecified launch failure\n{'loss': '5.901', 'epoch': '0.1889'}\n")
    assert str(unsaid_end(-9, folder, asked=False)["reason"]).endswith(
        "log ends with: CUDA error: unspecified launch failure"
    )
    folder.log.write_text("{'loss': '5.901', 'epoch': '0.1889'}\n")
    assert unsaid_end(-9, folder, asked=False)["reason"] == "the worker was killed by SIGKILL"


def test_a_second_supervisor_leaves_the_first_ones_record_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.setattr(device_lock, "LOOK_SECONDS", 0.05)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, getattr(sys, stream))
    monkeypatch.setattr(os, "umask", lambda mask: mask)
    monkeypatch.setattr("sys.argv", ["supervisor", str(tmp_path / "20261121-run"), "--resume"])
    folder = create(tmp_path, "20261121-run")
    folder.plan.write_text(json.dumps({"device": asdict(CPU)}))
    write_state(folder, RunState(status="training", heartbeat=time.time()))
    before = folder.state.read_text()
    held = acquire(lock_path(CPU), str(folder.path))
    assert supervisor.main() == 2
    assert (folder.state.read_text(), folder.events.exists()) == (before, False)
    os.close(held)
    write_state(folder, RunState(status="training", heartbeat=time.time(), supervisor=Process.of(os.getppid())))
    before = folder.state.read_text()
    assert supervisor.main() == 2
    assert (folder.state.read_text(), folder.events.exists()) == (before, False)
    os.close(acquire(lock_path(CPU), str(folder.path)))


def test_a_supervisor_that_fails_with_the_device_in_hand_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Supervisor) -> int:
        raise OSError("no room")

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.setattr(Supervisor, "run", fail)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, getattr(sys, stream))
    monkeypatch.setattr(os, "umask", lambda mask: mask)
    monkeypatch.setattr("sys.argv", ["supervisor", str(tmp_path / "20261121-run")])
    folder = create(tmp_path, "20261121-run")
    folder.plan.write_text(json.dumps({"device": asdict(CPU)}))
    write_state(folder, RunState(status="starting"))
    assert supervisor.main() == 2
    assert "no room" in folder.events.read_text()
