"""The last row: the keys that work now, as Textual's Footer shows them, in one widget.

Textual's Footer makes a widget for each key and makes them all again at every change of focus, and cuts the row off
where it is too long. This one paints a line, and where that is too short it leaves out the last keys and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

if TYPE_CHECKING:
    from textual import events
    from textual.binding import Binding
    from textual.dom import DOMNode
    from textual.screen import Screen

MORE = "? more"
LAST = ("app.next_step", "app.help", "help", "app.quit", "quit")
"""Actions that are everywhere; they stand behind those of the screen."""


TEXTUALS_OWN = (
    "app.focus_",
    "page_left",
    "page_right",
    "scroll_",
    "screen.copy_text",
    "app.help_quit",
    "command_palette",
)
"""Beginnings of actions that Textual binds by itself: they are not what somebody asks about."""


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the bar."""

    key: str
    """Textual's name of the key."""
    shown: str
    does: str

    @property
    def width(self) -> int:
        """Cells that it takes, with the gap behind it."""
        return len(self.shown) + len(self.does) + 3


def that_fit(keys: list[Key], width: int) -> tuple[list[Key], bool]:
    """The first keys that fit into a width, and whether some were left out."""
    if sum(key.width for key in keys) <= width:
        return keys, False
    room = width - len(MORE) - 2
    kept: list[Key] = []
    for key in keys:
        room -= key.width
        if room < 0:
            break
        kept.append(key)
    return kept, True


def described_keys(screen: Screen[Any]) -> list[tuple[DOMNode, Binding]]:
    """Keys that do something here and are described, each action once, with the node that each is bound on."""
    found: dict[str, tuple[DOMNode, Binding]] = {}
    for node, binding, enabled, _ in screen.active_bindings.values():
        own = not binding.action.startswith(TEXTUALS_OWN)
        if enabled and own and binding.description and binding.action not in found:
            found[binding.action] = (node, binding)
    return list(found.values())


class KeyBar(Widget):
    """The keys of the screen, first those of what has the focus."""

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; width: 100%; background: $panel; color: $foreground; }
    """
    ALLOW_SELECT: ClassVar[bool] = False

    def on_mount(self) -> None:
        """Follow the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self.refresh()

    def keys(self) -> list[Key]:
        """Keys that work now and are meant to be shown, each action once."""
        found: dict[str, Key] = {}
        for _, binding, enabled, _ in self.screen.active_bindings.values():
            if binding.show and enabled and binding.description and binding.action not in found:
                shown = binding.key_display or self.app.get_key_display(binding)
                found[binding.action] = Key(binding.key, shown, binding.description)
        ends = [found.pop(action) for action in LAST if action in found]
        return [*found.values(), *ends]

    def render(self) -> Content:
        """Draw the line."""
        right = Content.assemble(("│ ", "$line"), ("^p", "bold $warning"), (" palette ", "$label"))
        right = right.stylize(Style.from_meta({"key": "ctrl+p"}))
        width = self.size.width - right.cell_length - 1
        kept, cut = that_fit(self.keys(), width)
        parts: list[Content | str] = [" "]
        for key in kept:
            entry = Content.assemble((key.shown, "bold $warning"), " ", (key.does, "$foreground"), "  ")
            parts.append(entry.stylize(Style.from_meta({"key": key.key})))
        if cut:
            parts.append(Content.styled(MORE, "$quiet").stylize(Style.from_meta({"key": "question_mark"})))
        left = Content.assemble(*parts)
        return Content.assemble(left, " " * max(0, width + 1 - left.cell_length), right)

    def on_click(self, event: events.Click) -> None:
        """Press the key under the mouse."""
        key = event.style.meta.get("key")
        if isinstance(key, str):
            self.app.simulate_key(key)
