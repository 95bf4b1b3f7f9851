"""Screens made of parts: each part has the keys, actions and background tasks of one matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.screen import Screen


class ScreenWithParts(Screen[None]):
    """A screen whose actions may be those of its parts: an `action_` that it lacks is looked for on them, in order.

    Textual looks an action up on the screen that a key belongs to, so a part's keys belong into the screen's BINDINGS.

    Attributes:
        parts: What it is made of.
    """

    parts: tuple[object, ...] = ()

    if not TYPE_CHECKING:  # A type checker would take any name for an attribute.

        def __getattr__(self, name: str) -> Any:
            """Return a part's action; called only for names that the screen itself lacks."""
            if name.startswith("action_"):
                for part in self.parts:
                    if (action := getattr(part, name, None)) is not None:
                        return action
            raise AttributeError(f"{type(self).__name__} has no {name}")
