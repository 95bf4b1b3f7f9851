"""Where the lock of a device lies, and what is said where nothing can lock."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.machine.facts import Device
from trainer.process.device_lock import UNNAMED, busy, device_holder, lock_paths, run_names, take_device, weakness

CPU = Device("cpu", "a CPU", 1, 1)


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    """The two folders, neither of them there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    first, second = lock_paths(CPU)
    return first.parent, second.parent


def without_locks(monkeypatch: pytest.MonkeyPatch, code: int, *folders: Path) -> None:
    """Let flock fail for files below these folders, as their file system would."""
    real = fcntl.flock

    def flock(file: int, operation: int) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if any(name.startswith(str(folder)) for folder in folders):
            raise OSError(code, os.strerror(code))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_gives_way_to_the_folder_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch, places: tuple[Path, Path], code: int
) -> None:
    without_locks(monkeypatch, code, places[0])
    held = take_device(CPU, "/runs/one")
    assert held is not None
    assert device_holder(CPU) == "/runs/one"
    assert weakness(CPU) == ""
    with pytest.raises(InputError, match="one"):
        take_device(CPU, "/runs/two")
    os.close(held)
    assert device_holder(CPU) is None


def test_a_state_folder_that_cannot_be_written_does_too(places: tuple[Path, Path]) -> None:
    places[0].parent.parent.parent.joinpath("state").write_text("a file where a folder should be")
    held = take_device(CPU, "/runs/one")
    assert held is not None
    assert device_holder(CPU) == "/runs/one"
    os.close(held)


def test_without_any_lock_it_trains_and_says_so(monkeypatch: pytest.MonkeyPatch, places: tuple[Path, Path]) -> None:
    without_locks(monkeypatch, errno.ENOSYS, *places)
    assert take_device(CPU, "/runs/one") is None
    assert device_holder(CPU) is None
    assert all(str(place) in weakness(CPU) for place in places)


def test_a_folder_of_somebody_else_is_not_used(monkeypatch: pytest.MonkeyPatch, places: tuple[Path, Path]) -> None:
    without_locks(monkeypatch, errno.ENOSYS, places[0])
    places[1].symlink_to(places[1].parent)
    assert take_device(CPU, "/runs/one") is None
    assert "another user's" in weakness(CPU)


def test_a_run_of_another_folder_is_named_so_that_commands_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_WIZARD_RUNS", "/home/me/runs")
    assert run_names("/home/me/runs/one") == ("one", "one")
    assert run_names("/other runs/one") == ("one in /other runs", "'/other runs/one'")
    assert "`lora-wizard stop '/other runs/one'`" in busy("/other runs/one").remedy
    assert "--allow-busy" in busy("/home/me/runs/one").remedy
    assert UNNAMED not in busy(UNNAMED).remedy
