"""Files of a run's processes (ranks): who each one is, and how the first that failed ended.

`ranks/<k>/process.json` names the process of rank k, the first one included. `ranks/outcome.json` is the launcher's
account of the rank that ended the others. Both are of the current attempt.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from trainer.run.folder import FOLDER_MODE, RunFolder, write_atomically
from trainer.run.identity import Process
from trainer.run.state import whole

PROCESS = "process.json"
OUTCOME = "outcome.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of the rank on account of which all of them ended."""

    rank: int
    exit_code: int
    """Negative for a signal."""

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended it, None where none did."""
        return signal.Signals(-self.exit_code).name if self.exit_code < 0 else None

    @classmethod
    def read(cls, folder: RunFolder) -> Self | None:
        """Read a run's; None where every rank ended well or nobody wrote one."""
        raw = _document(folder.ranks / OUTCOME)
        rank, code = whole(raw.get("rank")), whole(raw.get("exit_code"))
        return None if rank is None or code is None else cls(rank, code)

    def write(self, folder: RunFolder) -> None:
        """Write it.

        Raises:
            OSError: The disk is full.
        """
        write_atomically(folder.ranks / OUTCOME, json.dumps(asdict(self)))


def clear(folder: RunFolder, processes: int) -> None:
    """Make a folder for each rank, and forget who they were in an earlier attempt; records and logs stay.

    Raises:
        OSError: The folder cannot be written.
    """
    for rank in range(processes):
        (folder.ranks / str(rank)).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    for stale in (folder.ranks / OUTCOME, *folder.ranks.glob(f"*/{PROCESS}")):
        stale.unlink(missing_ok=True)


def remember(folder: RunFolder) -> None:
    """Write down that this process is the folder's rank.

    Raises:
        OSError: The disk is full.
    """
    write_atomically(folder.ranks / str(folder.rank) / PROCESS, json.dumps(Process.this().document()))


def process_of(folder: RunFolder, rank: int) -> Process | None:
    """Return the process of a rank; None before it has come up."""
    return Process.read(_document(folder.ranks / str(rank) / PROCESS))


def beat(folder: RunFolder) -> None:
    """Show that this rank runs: the time of its process.json is its heartbeat."""
    with suppress(OSError):
        os.utime(folder.ranks / str(folder.rank) / PROCESS)


def last_beat(folder: RunFolder, rank: int) -> float | None:
    """Return the Unix seconds of a rank's last heartbeat; None before it has come up."""
    try:
        return (folder.ranks / str(rank) / PROCESS).stat().st_mtime
    except OSError:
        return None


def of_rank(folder: RunFolder, rank: int) -> RunFolder:
    """Return the run as another of its processes sees it."""
    return replace(folder, rank=rank)


def _document(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        raw = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(raw, dict):
            return raw
    return {}
