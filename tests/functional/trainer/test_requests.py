"""Requests of this life and of earlier ones; of the owner and of others."""

import time
from pathlib import Path

import pytest

from trainer.history.tail import Tail
from trainer.run.commands import request
from trainer.run.folder import RunFolder, append_line
from trainer.worker.loop.requests import Requests, StopNow


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def answers(folder: RunFolder) -> list[tuple[str, bool]]:
    return [(event["command"], event["accepted"]) for event in Tail(folder.events).documents()]


def test_what_was_asked_while_no_worker_ran_is_obeyed_once(folder: RunFolder) -> None:
    append_line(folder.commands, {"v": 1, "t": time.time() - 1e6, "id": "old", "command": "stop_now"})
    request(folder.path, "pause")
    first = Requests(folder)
    first.poll()
    assert (first.pause, first.stop) == (True, False)
    request(folder.path, "stop")
    second = Requests(folder)
    second.poll()
    assert (second.pause, second.stop) == (False, True)
    assert answers(folder) == [("pause", True), ("stop", True)]


def test_unknown_ones_are_refused_and_said(folder: RunFolder) -> None:
    requests = Requests(folder)
    append_line(folder.commands, {"v": 1, "t": time.time(), "id": "a", "command": "rm -rf"})
    append_line(folder.commands, {"v": 1, "t": time.time(), "id": "b"})
    requests.poll()
    assert [event["reason"] for event in Tail(folder.events).documents()] == ["unknown command"] * 2


def test_a_file_that_others_can_write_is_not_obeyed(folder: RunFolder) -> None:
    requests = Requests(folder)
    request(folder.path, "stop_now")
    folder.commands.chmod(0o666)
    requests.poll()
    assert answers(folder) == [("stop_now", False)]
    folder.commands.chmod(0o600)
    request(folder.path, "stop_now")
    with pytest.raises(StopNow):
        requests.poll()
