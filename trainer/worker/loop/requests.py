"""Requests to a running worker: lines in commands.jsonl, and signals."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, get_args

import psutil

from trainer.history.tail import Tail
from trainer.process.ending import STOP, STOP_NOW
from trainer.run.events import Command
from trainer.run.folder import RunFolder
from trainer.run.state import number
from trainer.worker.output.disk_space import record
from trainer.worker.world import of_the_first, supervisor_pid, this

SAME_STOP_SECONDS: Final = 2.0
"""Seconds within which a second SIGTERM means the same stop: it went to every process at once."""


class StopNow(BaseException):
    """Raised to end the run at once, without saving. Not an Exception: no library may swallow it."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What every rank does at the end of a step: what the first one had been asked for by then."""

    stop: bool = False
    checkpoint: bool = False
    evaluate: bool = False
    pause: bool = False
    stop_after_epoch: bool = False


@dataclass
class Requests:
    """Requests since the supervisor started; older ones were for an earlier attempt.

    A worker that starts again after an out-of-memory takes up what nobody has acknowledged meanwhile. Of several ranks
    the first one reads them; `agree` tells the others.
    """

    folder: RunFolder
    stop: bool = False
    """Whether to save and stop at the end of this step."""
    checkpoint: bool = False
    evaluate: bool = False
    pause: bool = False
    """Whether to pause at the end of this step until told to go on."""
    stop_after_epoch: bool = False
    agreed: Agreed = Agreed()
    """As of the last `agree`."""
    _asked: float | None = None
    """Time of the first SIGTERM."""
    _tail: Tail = field(init=False)

    _waiting: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._tail = Tail(self.folder.commands)
        asked = self._tail.documents()
        began = _start_of(supervisor_pid())
        answered = _acknowledged(self.folder) if asked else set()
        self._waiting = [
            document
            for document in asked
            if (number(document.get("t")) or 0.0) >= began and document.get("id") not in answered
        ]

    def listen_to_signals(self) -> None:
        """Handle SIGTERM: save and stop; the supervisor's second one, or a later one of somebody else's: stop now.

        SIGHUP and SIGINT are not for us. A launched rank gets its stop by another signal, and only the first one does.
        """
        launched = this().launched
        signal.signal(STOP if launched else signal.SIGTERM, lambda *_: self._terminate())
        if launched:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(STOP_NOW, lambda *_: self._leave())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _terminate(self) -> None:
        now = time.monotonic()
        if self._asked is None:
            self.stop, self._asked = True, now
        elif now - self._asked > SAME_STOP_SECONDS:
            self._leave()

    def _leave(self) -> None:
        raise StopNow

    def poll(self) -> None:
        """Take in new requests and acknowledge each.

        Raises:
            StopNow: One asked for that.
        """
        if self.folder.rank:
            return
        documents, self._waiting = [*self._waiting, *self._tail.documents()], []
        mine = bool(documents) and self._from_owner()
        for document in documents:
            command, identity = document.get("command"), document.get("id")
            known = mine and command in get_args(Command)
            why = None if known else "unknown command" if mine else "commands.jsonl is somebody else's"
            record(self.folder, "command", id=identity, command=command, accepted=known, reason=why)
            match command if known else None:
                case "stop":
                    self.stop = True
                case "stop_now":
                    raise StopNow
                case "checkpoint":
                    self.checkpoint = True
                case "evaluate":
                    self.evaluate = True
                case "pause":
                    self.pause = True
                case "continue":
                    self.pause = False
                case "stop_after_epoch":
                    self.stop_after_epoch = True

    def agree(self) -> Agreed:
        """Take in new requests and return what all ranks do now; every rank must come here.

        A checkpoint or an evaluation is asked for once.

        Raises:
            StopNow: As `poll`, in the first rank.
        """
        self.poll()
        asked = (self.stop, self.checkpoint, self.evaluate, self.pause, self.stop_after_epoch)
        self.checkpoint = self.evaluate = False
        self.agreed = Agreed(*of_the_first(asked))
        if self.folder.rank:
            self.stop, self.stop_after_epoch = self.agreed.stop, self.agreed.stop_after_epoch
        return self.agreed

    def agree_on_pause(self) -> bool:
        """Return whether all ranks pause now; every rank must come here, after `agree`."""
        (pauses,) = of_the_first([self.pause and not self.stop])
        self.agreed = replace(self.agreed, pause=pauses)
        return pauses

    def _from_owner(self) -> bool:
        """Return whether nobody but this user can have written the requests."""
        try:
            status = self.folder.commands.stat()
        except OSError:
            return False
        return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)

    def leave_if_asked(self) -> None:
        """Stop at once on any stop request, before and after training: there is nothing of a step to save.

        Raises:
            StopNow: A stop of either kind was asked for.
        """
        self.poll()
        if self.stop:
            raise StopNow


def _start_of(supervisor: int) -> float:
    """Return the Unix seconds at which the supervisor began; 0 where it has gone since."""
    try:
        return psutil.Process(supervisor).create_time()
    except psutil.Error:
        return 0.0


def _acknowledged(folder: RunFolder) -> set[str]:
    """The ids of requests that some worker of this run has answered."""
    found = set()
    for line in Tail(folder.events).lines():
        if b'"kind":"command"' in line:
            with suppress(ValueError):
                found.add(str(json.loads(line).get("id")))
    return found
