"""Commands of the palette for a run: everything that has a key, and what can be copied."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

if TYPE_CHECKING:
    from tui.screens.train.curves import CurveKeys
    from tui.screens.train.requests import RequestKeys

Offer = tuple[str, str, Callable[[], object]]
"""Title, help, and what it does."""


class RunActions(Protocol):
    """Interface of the actions that the palette can call on a run and its dashboard."""

    @property
    def requests(self) -> RequestKeys:
        """Requests to the run and copies from it."""

    @property
    def curves(self) -> CurveKeys:
        """The run's curves."""

    def action_filter(self) -> None:
        """Show only events and log lines with some text."""


def steering(screen: RunActions) -> tuple[Offer, ...]:
    """Commands to a living run."""
    paused = screen.requests.snapshot is not None and screen.requests.snapshot.status == "paused"
    return (
        ("Run: stop", "asks how", screen.requests.action_stop),
        ("Run: save a checkpoint now", "after the present step", partial(screen.requests.action_ask, "checkpoint")),
        ("Run: evaluate now", "after the present step", partial(screen.requests.action_ask, "evaluate")),
        ("Run: continue" if paused else "Run: pause", "after the present step", screen.requests.action_pause),
        ("Run: end after this epoch", "saves and stops then", partial(screen.requests.action_ask, "stop_after_epoch")),
    )


def looking(screen: RunActions) -> tuple[Offer, ...]:
    """Commands that change what is shown, and how."""
    return (
        (
            "Curve: show the next one",
            "loss, rate, norm, speed; the GPU's use and memory",
            screen.curves.action_next_metric,
        ),
        ("Curve: full screen", "or back", screen.curves.action_full_screen),
        ("Curve: logarithmic scale", "or back", screen.curves.action_log_scale),
        ("Curve: values at a cursor", "the arrows move it", screen.curves.action_cursor),
        ("Curve: hide raw or evaluations", "one after the other", screen.curves.action_hide),
        ("Curve: smooth more", "over twice as many steps", partial(screen.curves.action_smooth, 1)),
        ("Curve: smooth less", "over half as many steps", partial(screen.curves.action_smooth, -1)),
        ("Curve: lay another run behind", "or take it away", screen.curves.action_older),
        ("Log and events: filter", "only lines that hold some text", screen.action_filter),
    )


def copying(screen: RunActions) -> tuple[Offer, ...]:
    """Commands that copy to the terminal's clipboard (OSC 52)."""
    requests = screen.requests
    return (
        (
            "Copy the adapter's path",
            "to the terminal's clipboard (OSC 52), and show it",
            requests.action_copy_adapter,
        ),
        ("Copy the lines that load it", "Python, to the terminal's clipboard", requests.action_copy_lines),
        ("Copy the diagnosis", "to the terminal's clipboard", requests.action_copy_diagnosis),
        ("Copy the events", "to the terminal's clipboard", requests.action_copy_events),
        ("Copy the log", "to the terminal's clipboard", requests.action_copy_log),
    )


class RunCommands(Provider):
    """Steer the run, look at its curves, copy from it."""

    def _offers(self) -> tuple[Offer, ...]:
        screen = cast("RunActions", self.screen)
        return (*(() if screen.requests.ended else steering(screen)), *looking(screen), *copying(screen))

    async def discover(self) -> Hits:
        """List everything before anything is typed."""
        for title, help_, do in self._offers():
            yield DiscoveryHit(title, do, help=help_)

    async def search(self, query: str) -> Hits:
        """List what matches."""
        matcher = self.matcher(query)
        for title, help_, do in self._offers():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), do, help=help_)
