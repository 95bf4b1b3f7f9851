"""What others ask of a running worker: lines in commands.jsonl, and SIGTERM."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Literal, get_args

from trainer.events import Command
from trainer.runfolder import RunFolder, record
from trainer.tail import Tail

Stop = Literal["none", "save", "now"]


@dataclass
class Requests:
    """Requests since the worker started; older ones were for an earlier life of the run."""

    folder: RunFolder
    stop: Stop = "none"
    checkpoint: bool = False
    evaluate: bool = False
    _tail: Tail = field(init=False)

    def __post_init__(self) -> None:
        self._tail = Tail(self.folder.commands)
        self._tail.lines()

    def listen_to_signals(self) -> None:
        """SIGTERM: save and stop; a second one: stop now. SIGHUP and SIGINT are not for us."""
        signal.signal(signal.SIGTERM, lambda *_: self._terminate())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _terminate(self) -> None:
        self.stop = "save" if self.stop == "none" else "now"

    def poll(self) -> None:
        """Take in new requests and acknowledge each."""
        for document in self._tail.documents():
            command, identity = document.get("command"), document.get("id")
            known = command in get_args(Command)
            why = None if known else "unknown command"
            record(self.folder, "command", id=identity, command=command, accepted=known, reason=why)
            match command:
                case "stop":
                    self.stop = "save" if self.stop == "none" else self.stop
                case "stop_now":
                    self.stop = "now"
                case "checkpoint":
                    self.checkpoint = True
                case "evaluate":
                    self.evaluate = True
