"""Identity of a process: a pid alone is reused, so it is kept with its start time and the boot it belongs to."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of one boot."""

    pid: int
    start: float
    """Unix seconds, as the kernel counts them."""
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this pid now, None when there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time(), boot_id())
        except psutil.Error:
            return None

    @classmethod
    def this(cls) -> Self:
        """This process."""
        return cls(os.getpid(), psutil.Process().create_time(), boot_id())

    @classmethod
    def read(cls, document: object) -> Self | None:
        """From its JSON form; None for anything else."""
        match document:
            case {"pid": int(pid), "start": int(start) | float(start), "boot": str(boot)}:
                return cls(pid, float(start), boot)
        return None

    def document(self) -> dict[str, Any]:
        """Its JSON form."""
        return asdict(self)

    def alive(self) -> bool:
        """Whether this very process still runs.

        A zombie does not; but one that was killed lives on until its last thread has ended: only then are its lock and
        its device's memory free.
        """
        if self.boot != boot_id():
            return False
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.start) >= 0.05:
                return False
            return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
        except psutil.Error:
            return False


def boot_id() -> str:
    """This boot's id; empty where the kernel does not say."""
    try:
        return BOOT_ID.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
