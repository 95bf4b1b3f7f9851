"""Asking a run for something: one line appended to its commands, acknowledged by a 'command' event."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

from presets.errors import InputError
from trainer.run.events import VERSION, Command
from trainer.run.folder import RunFolder, append_line


def request(run: Path, command: Command) -> str:
    """Append a request.

    Returns:
        Its id, which the acknowledging event carries.

    Raises:
        InputError: The run is somebody else's, or its folder cannot be written.
    """
    folder = RunFolder(run)
    identity = uuid.uuid4().hex[:12]
    try:
        if folder.path.stat().st_uid != os.getuid():
            raise InputError(f"{folder.id} belongs to another user.", remedy="Only its owner can control a run.")
        append_line(folder.commands, {"v": VERSION, "t": time.time(), "id": identity, "command": command})
    except OSError as problem:
        raise InputError(
            f"{folder.commands} cannot be written: {problem.strerror}.", remedy="Free disk space, or check its owner."
        ) from None
    return identity
