"""A look at a run, on its way from the thread that takes it to the dashboard that shows it."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.history.reader import Snapshot


class Look:
    """One look at a run, on its way to the screen.

    Attributes:
        snapshot: The run at that moment.
        painted: Set when it is on the screen.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.painted = Event()


def fingerprint(snapshot: Snapshot) -> tuple[object, ...]:
    """Parts of a snapshot that tell two looks apart; the time that passes is shown by the second, not by the look."""
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
