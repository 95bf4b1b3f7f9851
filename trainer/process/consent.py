"""Consent to a shell command in a configuration: the file may come from anybody.

Kept as the command's SHA-256: on this machine, where it was given on a terminal, and in the folder of each run that was
started with it. A command that differs by a letter is another one.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from presets.errors import InputError
from recommender.paths import state_dir
from trainer.history.tail import Tail
from trainer.run.events import VERSION
from trainer.run.folder import RunFolder, append_line, write_atomically

KEY: Final = "on_end"


class ConsentError(InputError):
    """A command that nobody has agreed to.

    Attributes:
        command: The command, whole.
    """

    def __init__(self, command: str) -> None:
        super().__init__(
            f"run.on_end is a shell command that nobody has agreed to here: {command}",
            remedy="Read it. --allow-on-end agrees for this run, on a terminal you are asked; "
            "--set run.on_end=null leaves it out.",
        )
        self.command = command


def digest(command: str) -> str:
    """The SHA-256 of a command's exact text."""
    return sha256(command.encode("utf-8", "surrogatepass")).hexdigest()


def has_consent(command: str) -> bool:
    """Whether consent to exactly this command is stored on this machine."""
    return any(said.get(KEY) == digest(command) for said in Tail(_place()).documents())


def store_consent(command: str) -> None:
    """Store consent; where the state folder cannot be written it is asked for again the next time."""
    with suppress(OSError):
        _place().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        append_line(_place(), {"v": VERSION, "t": round(time.time(), 3), KEY: digest(command)})


def run_has_consent(folder: RunFolder, command: str) -> bool:
    """Whether the run was started or resumed with consent to exactly this command."""
    try:
        said = json.loads(folder.agreed.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get(KEY) == digest(command)


def write_run_consent(folder: RunFolder, command: str | None) -> None:
    """Write the consent to a command into a run's folder, or remove it for None."""
    if command:
        write_atomically(folder.agreed, json.dumps({"v": VERSION, KEY: digest(command)}))
    else:
        folder.agreed.unlink(missing_ok=True)


def require_consent(command: str | None, folder: RunFolder | None = None, *, allowed: bool = False) -> None:
    """Check that there is consent to a run's command: now, from this machine, or for this run.

    Raises:
        ConsentError: Nobody has.
    """
    if not command or allowed or has_consent(command) or (folder is not None and run_has_consent(folder, command)):
        return
    raise ConsentError(command)


def _place() -> Path:
    return state_dir() / "agreed.jsonl"
