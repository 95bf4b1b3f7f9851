"""Keys that come together, over a slow line or pasted, each meet what the one before has opened.

Textual hands a key to what has the focus when it comes. A key that opens a window takes some rounds of messages until
the window has the focus, and what comes meanwhile goes to the screen behind: digits typed into a field that is about to
open jump to another step. So each key waits until the one before has been dealt with.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from textual.app import App, ScreenStackError
from textual.dom import DOMNode

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.events import Key, Paste
    from textual.message_pump import MessagePump
    from textual.screen import Screen

LOOK_SECONDS = 0.02
"""Seconds between two looks at whether the thing waited for has gone away."""
PATIENCE_SECONDS = 1.0
"""After which the next key is handed on whatever became of the one before."""


class TypedAhead:
    """Holds keys while the one before is dealt with.

    Attributes:
        app: Whose keys.
    """

    def __init__(self, app: App[Any]) -> None:
        self.app = app
        self._held: deque[Key | Paste] = deque()
        self._dealing: asyncio.Task[None] | None = None

    def holds(self, event: Key | Paste) -> bool:
        """Whether a key has to wait; then it is kept, and given to the application again."""
        if self._dealing is not None:
            self._held.append(event)
        return self._dealing is not None

    def handed_on(self, target: MessagePump, before: Screen[Any]) -> None:
        """Wait for what a key does, then give the next one to the application.

        Args:
            target: What it was handed to.
            before: The screen that was seen then.
        """
        self._dealing = asyncio.create_task(self._deal(target, before))

    async def _deal(self, target: MessagePump, before: Screen[Any]) -> None:
        try:
            await asyncio.wait_for(self._settled(target, before), PATIENCE_SECONDS)
        except (TimeoutError, ScreenStackError):
            # It took too long, or the last screen has gone: the application ends.
            pass
        finally:
            if not self.app.call_later(self._next):
                self._dealing = None

    async def _next(self) -> None:
        """Runs among the application's own messages, so no newer key comes between."""
        self._dealing = None
        if self._held:
            await self.app.on_event(self._held.popleft())

    async def _settled(self, target: MessagePump, before: Screen[Any]) -> None:
        """Wait until the work that a key led to has been done, and the screen that it opened is laid out."""

        def left() -> bool:
            return self.app.screen is not before

        # What the target says of the key comes behind the key, and goes up from parent to parent.
        node: MessagePump | None = target
        await _messages_done(target.call_later, left)
        while node is not None and not left():
            await _messages_done(node.call_later, left)
            node = node.parent if isinstance(node, DOMNode) else None
        while self.app.screen is not before:
            before = self.app.screen
            await _messages_done(before.call_later, left)
            await _messages_done(before.call_after_refresh, left)
            await _messages_done(self.app.call_later, lambda: False)


async def _messages_done(call: Callable[..., bool], gone: Callable[[], bool]) -> None:
    """Return when a widget has done what it was given before, or when its screen has gone."""
    done = asyncio.Event()
    if not call(done.set):
        return
    while not (done.is_set() or gone()):
        try:
            await asyncio.wait_for(done.wait(), LOOK_SECONDS)
        except TimeoutError:
            continue
