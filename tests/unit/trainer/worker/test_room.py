"""A disk that fills up while something is saved: the run waits, whatever the writing library calls it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from safetensors import SafetensorError

from trainer.history.tail import Tail
from trainer.run.folder import RunFolder
from trainer.worker.output import disk_space

FULL = (
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    RuntimeError("[enforce fail at inline_container.cc:668] . PytorchStreamWriter failed writing file data/1"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run on a disk that has room, then none at two looks, then room again."""
    seen = iter([2**40] + [0] * 5)
    monkeypatch.setattr(disk_space, "free", lambda _: next(seen, 2**40))
    monkeypatch.setattr(disk_space, "LOOK_SECONDS", 0.0)
    return RunFolder(tmp_path)


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")))
def test_a_save_that_found_no_room_is_done_again_when_there_is_some(folder: RunFolder, error: Exception) -> None:
    tried = []

    def save() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise error

    disk_space.save_with_room(folder, 1000, save, lambda: None, "saving")
    assert len(tried) == 2
    told = [document for document in Tail(folder.events).documents() if document["kind"] == "status"]
    assert [(one["status"], one.get("cause")) for one in told] == [("paused", "disk_full"), ("saving", None)]


def test_what_has_nothing_to_do_with_room_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_space, "free", lambda _: 2**40)
    tried = []

    def save() -> None:
        tried.append(1)
        raise SafetensorError("invalid dtype")

    with pytest.raises(SafetensorError, match="invalid dtype"):
        disk_space.save_with_room(RunFolder(tmp_path), 1000, save, lambda: None, "saving")
    assert len(tried) == 1
