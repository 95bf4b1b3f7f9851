"""The device's lock: a look at it keeps nobody from taking it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from presets.errors import InputError
from trainer.process import device_lock
from trainer.process.device_lock import acquire, holder

LOOKER = """
import sys
from pathlib import Path
from trainer.process.device_lock import holder
path, seen = Path(sys.argv[1]), set()
print("looking", flush=True)
while path.with_name("go-on").exists():
    one = holder(path)
    if one == "the-last" and one not in seen:
        print(one, flush=True)
    seen.add(one)
print(sorted(map(str, seen)))
"""


@contextmanager
def somebody_looking(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that looks at the lock again and again until the block ends."""
    go_on = path.with_name("go-on")
    go_on.touch()
    child = subprocess.Popen([sys.executable, "-c", LOOKER, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "looking\n"
    try:
        yield child
    finally:
        go_on.unlink()
        child.wait(30)


@pytest.mark.process
def test_a_thousand_starts_beside_a_look_all_succeed(tmp_path: Path) -> None:
    path = tmp_path / "cpu.lock"
    path.touch()
    with somebody_looking(path) as looker:
        for number in range(1000):
            os.close(acquire(path, f"run-{number}"))
        held = acquire(path, "the-last")
        assert looker.stdout is not None
        assert looker.stdout.readline() == "the-last\n"
        os.close(held)


@pytest.mark.process
def test_a_look_sees_no_run_in_another_look(tmp_path: Path) -> None:
    path = tmp_path / "cpu.lock"
    path.write_text("an-old-run")
    with somebody_looking(path):
        assert {holder(path) for _ in range(1000)} == {None}


def test_a_held_lock_is_refused_when_every_look_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_lock, "LOOK_SECONDS", 0.05)
    path = tmp_path / "cpu.lock"
    held = acquire(path, "the-first")
    with pytest.raises(InputError, match="the-first"):
        acquire(path, "the-second")
    assert holder(path) == "the-first"
    os.close(held)
    assert holder(path) is None


def test_a_look_shares_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "cpu.lock"
    path.touch()
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    assert holder(path) is None
    os.close(descriptor)
