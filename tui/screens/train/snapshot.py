"""A look at a run, on its way from the thread that takes it to the dashboard that shows it."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from presets.errors import WizardError
    from trainer.history.reader import Snapshot


class Polled(Message):
    """The run was looked at."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot
        """The run at that moment."""
        self.painted = Event()
        """Set when it is on the screen."""

    def can_replace(self, message: Message) -> bool:
        """Only the newest look is worth showing."""
        return isinstance(message, Polled)


class Unreadable(Message):
    """The run could not be looked at, or can be again."""

    def __init__(self, error: WizardError | None) -> None:
        super().__init__()
        self.error = error
        """Why; None when it can."""


def fingerprint(snapshot: Snapshot) -> tuple[object, ...]:
    """What tells two looks apart; the time that passes is shown by the second, not by the look."""
    return (
        snapshot.state,
        snapshot.alive,
        snapshot.died,
        len(snapshot.steps),
        len(snapshot.evals),
        snapshot.events[-1] if snapshot.events else None,
        len(snapshot.samples),
        snapshot.devices[-1] if snapshot.devices else None,
        snapshot.log,
        int(snapshot.now),
    )
