"""A lock for each device, so that it has one run: the kernel frees it when the holder dies.

It lies in the state folder. Where that cannot be written, or its file system has no flock (Lustre mounted without
`-o flock`, some NFS), it lies in the machine's folder for temporary files; where that has none either, runs are not
kept apart, and `weakness` says so.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from presets.errors import InputError
from recommender.machine.facts import Device
from recommender.paths import APP, state_dir
from trainer.run.folder import RunFolder

LOOK_SECONDS = 2.0
"""Seconds to wait for readers of the lock, who hold it for microseconds, on a busy machine for some more."""
RETRY_SECONDS = 0.002
HELD: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
"""Error numbers of flock where another process has the lock; EACCES is NFS's, which makes a byte-range lock of it."""


UNNAMED: Final = "another run"
"""A holder that has not written its name yet."""


def lock_paths(device: Device) -> tuple[Path, Path]:
    """Candidate paths of a device's lock, best first: by the GPU's UUID, or the one of the CPU."""
    # Older drivers call a MIG instance by its numbers, with slashes between them.
    name = (device.uuid or device.kind).replace("/", "-") + ".lock"
    return state_dir() / "locks" / name, _temporary() / name


def lock_path(device: Device) -> Path:
    """The usual path of a device's lock: the first of `lock_paths`."""
    return lock_paths(device)[0]


def device_holder(device: Device) -> str | None:
    """The folder of the run that holds a device's lock; None when it is free or nobody can tell."""
    return next(filter(None, map(holder, lock_paths(device))), None)


def take_device(device: Device, run: str) -> int | None:
    """Take the lock of a device for a run and keep it as long as the returned descriptor stays open.

    Args:
        device: Which.
        run: The run's folder, by which whoever meets the lock finds it.

    Returns:
        None where no place has locks.

    Raises:
        InputError: Another run has it; names that run.
    """
    for path in lock_paths(device):
        # No folder, no right to write, no flock: the next place may have them.
        with suppress(OSError):
            return acquire(path, run)
    return None


def weakness(device: Device) -> str:
    """The reason why no lock keeps two runs on a device apart here; empty where a lock does."""
    lacking = []
    for path in lock_paths(device):
        try:
            with tempfile.TemporaryFile(dir=_made(path.parent)) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return ""
        except OSError as problem:
            lacking.append(f"{path.parent} ({problem.strerror or problem})")
    return f"file locks (flock) work neither in {' nor in '.join(lacking)}: a second run on this device is not noticed"


def holder(path: Path) -> str | None:
    """The run that holds the lock, as it named itself; None when it is free, not there, or has no locks.

    A look shares the lock for a moment: two looks never meet a run in each other, and `acquire` waits until a look is
    over.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as problem:
        return _named(descriptor) if problem.errno in HELD else None
    finally:
        os.close(descriptor)
    return None


def acquire(path: Path, run: str) -> int:
    """Take the lock for a run and keep it as long as the returned descriptor stays open.

    Raises:
        InputError: Another run has it; names that run.
        OSError: The file cannot be written, or its file system has no locks.
    """
    descriptor = os.open(_made(path.parent) / path.name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _take(descriptor):
            raise busy(_named(descriptor))
        os.ftruncate(descriptor, 0)
        os.write(descriptor, run.encode())
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _take(descriptor: int) -> bool:
    """Take the exclusive lock; False where it is still held once every reader must have let go."""
    until = time.monotonic() + LOOK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            if problem.errno not in HELD:
                raise
            if time.monotonic() >= until:
                return False
            time.sleep(RETRY_SECONDS)
        else:
            return True


def _named(descriptor: int) -> str:
    return os.read(descriptor, 4096).decode("utf-8", "replace").strip() or UNNAMED


def _temporary() -> Path:
    """This user's own folder under the local temporary folder."""
    return Path(tempfile.gettempdir()) / f"{APP}-{os.getuid()}"


def _made(folder: Path) -> Path:
    """Make a private folder for locks.

    Raises:
        OSError: It cannot be made, or is somebody else's.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "it is another user's", str(folder))
    return folder


def busy(held: str) -> InputError:
    """The error of a device that is taken by a run, named as `device_holder` does."""
    name, wanted = run_names(held)
    found = f"Watch it with `lora-wizard watch {wanted}`, or stop it with `lora-wizard stop {wanted}`."
    if held == UNNAMED:
        found = "`lora-wizard runs` lists those of this folder of runs."
    who = "Another run" if held == UNNAMED else f"The run {name}"
    return InputError(f"{who} is training on this device.", remedy=f"{found} --allow-busy starts beside it.")


def run_names(held: str) -> tuple[str, str]:
    """The name of a run that holds a lock, and its name on a command line."""
    path = Path(held)
    # A run of an earlier version wrote its id alone.
    if not path.is_absolute():
        return held, held
    wanted = RunFolder(path).argument
    return path.name if wanted == path.name else f"{path.name} in {path.parent}", wanted
