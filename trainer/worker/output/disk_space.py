"""Disk space of a run: checked before each save; a full disk makes the run wait, not fail."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from trainer.run.events import DISK_FULL, Kind
from trainer.run.folder import SPARE_BYTES, RunFolder, append_event, repair_last_line
from trainer.run.masking import FULL

LOOK_SECONDS: Final = 0.5
RESERVE: Final = ".reserve"
RESERVE_BYTES: Final = 2**20
"""Size of the ballast file, held while there is room and freed to record that there is none."""


def record(folder: RunFolder, kind: Kind, **keys: Any) -> None:
    """Append one event; where the disk is full, wait until it is written."""
    while True:
        try:
            append_event(folder, kind, **keys)
        except OSError as problem:
            if problem.errno not in FULL:
                raise
            if not give_up_reserve(folder):
                time.sleep(LOOK_SECONDS)
            # What was written of the line must not spoil the next one.
            with suppress(OSError):
                repair_last_line(folder.events)
        else:
            return


def hold_reserve(folder: RunFolder) -> None:
    """Write the ballast file, so that a pause on a full disk can still be recorded; skipped on a full disk."""
    path = folder.path / RESERVE
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        finally:
            os.close(descriptor)


def give_up_reserve(folder: RunFolder) -> bool:
    """Remove the ballast file; return whether there was one."""
    try:
        (folder.path / RESERVE).unlink()
    except OSError:
        return False
    return True


def free(folder: RunFolder) -> int:
    """Bytes that the run's disk has left for this user."""
    return shutil.disk_usage(folder.path).free


def wait_for_room(folder: RunFolder, needed: int, look: Callable[[], None], back_to: str) -> bool:
    """Pause until the disk has room.

    Args:
        folder: The run.
        needed: Bytes to be written.
        look: Called at each look; raises StopNow when the run shall end.
        back_to: The status after a pause.

    Returns:
        Whether there was a pause.
    """
    if free(folder) >= needed + SPARE_BYTES:
        return False
    from recommender.units import gib

    reason = f"the disk of {folder.path} has {gib(free(folder))} free and {gib(needed + SPARE_BYTES)} are needed"
    remedy = "Free some room: the run goes on by itself. `lora-wizard stop --now` ends it without this save."
    give_up_reserve(folder)
    record(folder, "warning", message=f"Paused: {reason}.", remedy=remedy)
    said = f"{reason}; free some room and it goes on by itself"
    record(folder, "status", status="paused", reason=said, cause=DISK_FULL)
    while free(folder) < needed + SPARE_BYTES:
        look()
        time.sleep(LOOK_SECONDS)
    hold_reserve(folder)
    record(folder, "status", status=back_to, reason="there is room again")
    return True


def save_with_room(
    folder: RunFolder, needed: int, save: Callable[[], None], look: Callable[[], None], back_to: str
) -> None:
    """Save with retries: where the disk fills up meanwhile, remove the partial file, wait for room, try again.

    Args:
        folder: The run.
        needed: Bytes to be written, as far as is known.
        save: Writes under a temporary name, beginning anew each time, and removes it where it fails.
        look: As in `wait_for_room`.
        back_to: The status after a pause.
    """
    while True:
        wait_for_room(folder, needed, look, back_to)
        try:
            save()
        except Exception as problem:
            # A full disk is an OSError, torch's RuntimeError or safetensors' SafetensorError, which is neither; `save`
            # has removed its part by now.
            if not (getattr(problem, "errno", None) in FULL or _speaks_of_room(problem) or free(folder) < needed):
                raise
            needed = max(needed, free(folder) + 1)
        else:
            return


def _speaks_of_room(problem: BaseException) -> bool:
    said = str(problem)
    return "No space left" in said or "os error 28" in said or "failed writing file" in said or "quota" in said.lower()
