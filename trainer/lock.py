"""One run for each device: a lock that the kernel frees when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from presets.errors import InputError
from recommender.machine.facts import Device
from recommender.paths import state_dir

LOOK_SECONDS = 2.0
"""How long a taker waits for those who only look; a look is over in microseconds, on a busy machine in some more."""
RETRY_SECONDS = 0.002


def lock_path(device: Device) -> Path:
    """The lock file of a device: by the GPU's UUID, or the one of the CPU."""
    # Older drivers call a MIG instance by its numbers, with slashes between them.
    return state_dir() / "locks" / ((device.uuid or device.kind).replace("/", "-") + ".lock")


def holder(path: Path) -> str | None:
    """The id of the run that holds the lock, None when it is free.

    A look shares the lock for a moment: two looks never meet a run in each other, and `acquire` waits until a look is
    over.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.read(descriptor, 4096).decode("utf-8", "replace").strip() or "another run"
    finally:
        os.close(descriptor)
    return None


def acquire(path: Path, run: str) -> int:
    """Take the lock for a run and keep it as long as the returned descriptor stays open.

    Raises:
        InputError: Another run has it; names that run.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _take(descriptor):
            raise busy(os.read(descriptor, 4096).decode("utf-8", "replace").strip() or "another run")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, run.encode())
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _take(descriptor: int) -> bool:
    """Take the lock alone; False where it is still held when every look must be over."""
    until = time.monotonic() + LOOK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= until:
                return False
            time.sleep(RETRY_SECONDS)
        else:
            return True


def busy(run: str) -> InputError:
    """The error of a device that is taken."""
    return InputError(
        f"The run {run} is training on this device.",
        remedy=f"Watch it with `lora-wizard watch {run}`, or stop it with `lora-wizard stop {run}`.",
    )
