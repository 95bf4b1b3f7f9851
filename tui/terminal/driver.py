"""The terminal's keys in the terminal's encoding, and its end.

Textual's own reader ends the program at a byte beside UTF-8, and reads on for ever from a terminal that has gone.
"""

from __future__ import annotations

import codecs
import os
import selectors
import signal
import sys
from collections.abc import Callable

from textual.drivers.linux_driver import LinuxDriver

from tui.terminal.textual_internals import KeyParser

LOOK_SECONDS = 0.1


class TerminalDriver(LinuxDriver):
    """Leaves out bytes that mean nothing in the terminal's encoding, such as those of 8-bit meta keys."""

    def run_input_thread(self) -> None:
        """Read keys until the application ends, or the terminal has gone."""
        parser = KeyParser(self)
        decode = key_decoder(sys.__stdin__.encoding if sys.__stdin__ else "utf-8")
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                come = ""
                if selector.select(LOOK_SECONDS):
                    if not (read := self._read()):
                        hang_up()
                        return
                    come = decode(read)
                for event in parser.feed(come):
                    self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)

    def _read(self) -> bytes:
        """Return what has come; nothing where the terminal has gone."""
        try:
            return os.read(self.fileno, 4096)
        except OSError:
            return b""


def hang_up() -> None:
    """End the program as SIGHUP ends it, which may be ignored here (nohup, some containers).

    Nothing can be drawn any more, so it would wait for ever and read without an end. A run is a process of its own and
    goes on.
    """
    os.kill(os.getpid(), signal.SIGTERM)


def key_decoder(encoding: str) -> Callable[[bytes], str]:
    """Return a decoder of bytes that come in pieces, without those that the encoding has no sign for."""
    return codecs.getincrementaldecoder(encoding)("ignore").decode
