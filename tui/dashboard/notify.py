"""Notifies somebody who looks elsewhere that a run has ended or is in trouble: by the terminal, or by their command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from presets.errors import InputError
from trainer.diagnosis.diagnose import diagnose
from tui.dashboard.ending import has_ended
from tui.terminal.sanitize import clean

if TYPE_CHECKING:
    from trainer.history.reader import Snapshot

Way = Literal["bell", "osc9", "osc777"]
NOTIFY, NOTIFY_COMMAND = "LORA_WIZARD_NOTIFY", "LORA_WIZARD_NOTIFY_COMMAND"
"""Environment variables that ask for it, for the wizard too."""


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Settings of notifications.

    Attributes:
        ways: Of the terminal: its bell; OSC 9 (iTerm2, WezTerm, kitty, Windows Terminal) or 777 (rxvt, foot, Ghostty).
        command: A shell's; the run is told in LORA_WIZARD_RUN_ID, LORA_WIZARD_STATUS and LORA_WIZARD_MESSAGE.
    """

    ways: frozenset[Way] = frozenset()
    command: str = ""

    @classmethod
    def read(
        cls, ways: Sequence[str] = (), command: str = "", environment: Mapping[str, str] = os.environ
    ) -> NotifySettings:
        """Read the settings from the command line, else from the environment.

        Raises:
            InputError: Another way than those that there are.
        """
        named = [way.strip() for part in (ways or [environment.get(NOTIFY, "")]) for way in part.split(",")]
        known: dict[str, Way] = {way: way for way in get_args(Way)}
        if wrong := next((way for way in named if way and way not in known), None):
            raise InputError(f"There is no notification '{wrong}'.", remedy=f"There are: {', '.join(known)}.")
        return cls(frozenset(known[way] for way in named if way), command or environment.get(NOTIFY_COMMAND, ""))

    @classmethod
    def kept(cls) -> NotifySettings:
        """Settings from the environment; none where it cannot be understood, which no run should fail for."""
        try:
            return cls.read()
        except InputError:
            return cls()

    def __bool__(self) -> bool:
        """Whether anything is wanted at all."""
        return bool(self.ways or self.command)


class Notifier:
    """Looks at each snapshot and tells once of each trouble, and of the end.

    Args:
        wishes: How.
        write: Sends characters to the terminal.
        start: Starts the person's command with this environment.
    """

    def __init__(
        self,
        wishes: NotifySettings,
        write: Callable[[str], None],
        start: Callable[[str, Mapping[str, str]], None] | None = None,
    ) -> None:
        self._wishes = wishes
        self._write = write
        self._start = start or start_command
        self._told: set[str] = set()
        self._first = True

    def look(self, snapshot: Snapshot) -> None:
        """Notify of a new bad finding or the end; those from before the watching began are left out."""
        if not self._wishes or snapshot.behind:
            return
        said = [finding.title for finding in diagnose(snapshot) if finding.level == "bad"]
        if has_ended(snapshot):
            # A failure is the end's own word: told once.
            said = ["died" if snapshot.died else snapshot.status]
        fresh = [title for title in said if title not in self._told]
        self._told.update(fresh)
        if not self._first:
            for title in fresh:
                self._tell(snapshot, title)
        self._first = False

    def _tell(self, snapshot: Snapshot, title: str) -> None:
        run = clean(snapshot.run_id)
        message = f"{run}: {clean(title)}"
        self._write("".join(in_terminal(way, message) for way in sorted(self._wishes.ways)))
        if self._wishes.command:
            told = {"RUN_ID": snapshot.run_id, "STATUS": snapshot.status, "MESSAGE": message}
            self._start(self._wishes.command, {f"LORA_WIZARD_{key}": value for key, value in told.items()})


def in_terminal(way: Way, message: str, environment: Mapping[str, str] = os.environ) -> str:
    """Escape sequence that makes a terminal notify, passed through tmux where it is in between."""
    if way == "bell":
        return "\a"
    # A semicolon would part the fields of OSC 777.
    plain = clean(message).replace(";", ",")
    sequence = f"\x1b]9;{plain}\x07" if way == "osc9" else f"\x1b]777;notify;lora-wizard;{plain}\x07"
    if environment.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return sequence


def start_command(command: str, told: Mapping[str, str]) -> None:
    """Start it and let it be: a slow one must not hold the dashboard, and what it prints has no place there."""
    with suppress(OSError):
        subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **told},
            start_new_session=True,
        )
