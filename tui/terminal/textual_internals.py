"""The private names of Textual that the program leans on, all of them, held by a test (test_upstream.py).

None of them has a public way in Textual 8: what is written to the terminal past the screen, what is said when the
application ends by an unforeseen error, and the parser of the terminal's keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from textual._xterm_parser import XTermParser
from textual.app import App, ReturnType

if TYPE_CHECKING:
    from textual.driver import Driver
    from textual.message import Message


def send_to_terminal(app: App[Any], characters: str) -> None:
    """Send what draws nothing, such as a bell, past the screen."""
    if characters and (driver := app._driver) is not None:
        driver.write(characters)


class KeyParser:
    """Turns characters that come from the terminal into messages."""

    def __init__(self, driver: Driver) -> None:
        self._parser = XTermParser(driver._debug)

    def feed(self, characters: str) -> Iterable[Message]:
        """Return the messages that the characters complete; an empty text would say that nothing comes any more."""
        return self._parser.feed(characters) if characters else ()

    def tick(self) -> Iterable[Message]:
        """Return the messages that the time which passed completes, such as an escape without more."""
        return self._parser.tick()


class OneSentenceApp(App[ReturnType]):
    """An application that ends by an unforeseen error with one sentence instead of a traceback.

    Attributes:
        crash_exit: Its exit code then.
    """

    crash_exit = 1

    def crash_sentence(self, error: BaseException | None) -> str:
        """Return the sentence to print after a crash; `error` is None where Textual has kept none."""
        raise NotImplementedError

    def _fatal_error(self) -> None:
        """Print one sentence in place of the traceback; called by Textual, which would print the traceback."""
        self._return_code = self.crash_exit
        self.panic(self.crash_sentence(self._exception))
