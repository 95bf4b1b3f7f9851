"""Common base of the wizard and the dashboard as Textual applications: look, quiet, and how they fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TypeVar

from textual import events
from textual.app import ScreenStackError
from textual.driver import Driver
from textual.filter import LineFilter

from tui.terminal.ascii import drawing_encoding
from tui.terminal.character_filter import DrawnIn
from tui.terminal.errors import INTERNAL_ERROR_EXIT, crash_sentence
from tui.terminal.textual_internals import OneSentenceApp
from tui.terminal.theme import BOX_CSS, SHARED_CSS, use_theme, variable_defaults
from tui.terminal.typed_ahead import TypedAhead

Result = TypeVar("Result")


class BaseApp(OneSentenceApp[Result]):
    """An application with our themes, without animation, drawing with ASCII where asked to or no more is had.

    Attributes:
        unicode: Whether more than ASCII is drawn.
    """

    CSS = SHARED_CSS
    DEFAULT_CSS = BOX_CSS
    ENABLE_COMMAND_PALETTE = True
    crash_exit = INTERNAL_ERROR_EXIT

    def __init__(self, *, theme: str | None = None, unicode: bool = True) -> None:
        super().__init__()
        # Nothing moves by itself: each frame of an animation is a packet over SSH.
        self.animation_level = "none"
        # Textual draws on stderr.
        encoding = drawing_encoding(sys.__stderr__.encoding if sys.__stderr__ else "utf-8", os.environ, unicode=unicode)
        self.unicode = encoding == "utf-8"
        self._typed_ahead = TypedAhead(self)
        self._drawn = DrawnIn(encoding, enabled=not self.unicode)
        use_theme(self, theme)

    async def on_event(self, event: events.Event) -> None:
        """Take a key only when the one before has been dealt with; everything else at once.

        Keys and clicks that come once the application has been told to end are dropped: its screens go meanwhile, and
        what they asked for is nobody's any more.
        """
        if not isinstance(event, events.InputEvent | events.Paste):
            await super().on_event(event)
        elif not self._is_ending():
            try:
                await self._take_input(event)
            except ScreenStackError:
                # The last screen may go while a key is being dealt with.
                if not self._is_ending():
                    raise

    def _is_ending(self) -> bool:
        return self.return_code is not None or not self.is_running

    async def _take_input(self, event: events.InputEvent | events.Paste) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif not self._typed_ahead.holds(event):
            target, before = self.focused or self.screen, self.screen
            await super().on_event(event)
            self._typed_ahead.handed_on(target, before)

    def get_driver_class(self) -> type[Driver]:
        """Our reader of keys in the place of Textual's for terminals."""
        from textual.drivers.linux_driver import LinuxDriver

        from tui.terminal.driver import TerminalDriver

        found = super().get_driver_class()
        return TerminalDriver if found is LinuxDriver else found

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our variables, for Textual's own themes too."""
        return variable_defaults()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters (NO_COLOR among them), then ours."""
        filters = super().get_line_filters()
        return filters if self.unicode else [*filters, self._drawn]

    def crash_sentence(self, error: BaseException | None) -> str:
        """Return what is printed when the application ends by an error of ours; the traceback goes into the log."""
        return f"error: {crash_sentence(error)}" if error is not None else "error: lora-wizard itself failed"
