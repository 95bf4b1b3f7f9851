"""Events reach the disk: those that others rely on at once, the others beside the writer."""

import os
import threading
import time
from pathlib import Path

import pytest

from trainer.run.folder import RunFolder, append_event
from trainer.run.fsync import Syncer


def test_what_others_rely_on_is_on_the_disk_when_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda _: synced.append(threading.current_thread().name))
    append_event(RunFolder(tmp_path), "checkpoint", step=1)
    assert synced == [threading.current_thread().name]


def test_a_step_is_brought_there_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    synced: list[int] = []
    ended: list[bool] = []

    def slow(file: int) -> None:
        synced.append(file)
        ended.append(let_go.wait(60))

    def rounds(count: int) -> None:
        until = time.monotonic() + 20
        while len(synced) < count:
            assert time.monotonic() < until
            time.sleep(0.01)

    monkeypatch.setattr(os, "fdatasync", slow)
    append_event(RunFolder(tmp_path), "step", step=0)
    rounds(1)
    for step in range(1, 20):
        append_event(RunFolder(tmp_path), "step", step=step)
    assert ended == [], "the disk is still busy with the first"
    let_go.set()
    # One round for all that came meanwhile.
    rounds(2)


def test_a_file_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    syncer = Syncer()
    syncer.soon(tmp_path / "gone")
    (tmp_path / "there").write_text("x")
    syncer.soon(tmp_path / "there")
    assert syncer._thread is not None
    assert syncer._thread.is_alive()


@pytest.mark.process
def test_a_forked_child_syncs_too(tmp_path: Path) -> None:
    append_event(RunFolder(tmp_path), "step", step=1)
    child = os.fork()
    if child == 0:
        append_event(RunFolder(tmp_path), "step", step=2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 2
