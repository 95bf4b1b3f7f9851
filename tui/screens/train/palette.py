"""What the palette offers for a run: everything that has a key, and what can be copied."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

if TYPE_CHECKING:
    from trainer.history.reader import Snapshot
    from trainer.run.events import Command

Offer = tuple[str, str, Callable[[], object]]
"""Title, help, and what it does."""


class RunActions(Protocol):
    """What the palette can have done to a run and its dashboard."""

    snapshot: Snapshot | None

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""

    def action_stop(self) -> None:
        """Ask how to stop."""

    def action_ask(self, command: Command) -> None:
        """Ask the run for something."""

    def action_pause(self) -> None:
        """Pause the run, or let it go on."""

    def action_next_metric(self) -> None:
        """Show another curve."""

    def action_full_screen(self) -> None:
        """Give the curve the whole screen, or take it back."""

    def action_log_scale(self) -> None:
        """Switch the scale."""

    def action_cursor(self) -> None:
        """Say the values at a cursor."""

    def action_hide(self) -> None:
        """Hide some of what is drawn."""

    def action_smooth(self, direction: int) -> None:
        """Smooth over more or fewer steps."""

    def action_older(self) -> None:
        """Lay another run behind."""

    def action_filter(self) -> None:
        """Show only lines that hold some text."""

    def action_copy_adapter(self) -> None:
        """Copy the adapter's path."""

    def action_copy_lines(self) -> None:
        """Copy the lines that load the adapter."""

    def action_copy_diagnosis(self) -> None:
        """Copy the diagnosis."""

    def action_copy_events(self) -> None:
        """Copy the events."""

    def action_copy_log(self) -> None:
        """Copy the log."""


def steering(screen: RunActions) -> tuple[Offer, ...]:
    """What a living run can be asked for."""
    paused = screen.snapshot is not None and screen.snapshot.status == "paused"
    return (
        ("Run: stop", "asks how", screen.action_stop),
        ("Run: save a checkpoint now", "after the present step", partial(screen.action_ask, "checkpoint")),
        ("Run: evaluate now", "after the present step", partial(screen.action_ask, "evaluate")),
        ("Run: continue" if paused else "Run: pause", "after the present step", screen.action_pause),
        ("Run: end after this epoch", "saves and stops then", partial(screen.action_ask, "stop_after_epoch")),
    )


def looking(screen: RunActions) -> tuple[Offer, ...]:
    """What is shown, and how."""
    return (
        (
            "Curve: show the next one",
            "loss, rate, norm, speed; the GPU's use and memory",
            screen.action_next_metric,
        ),
        ("Curve: full screen", "or back", screen.action_full_screen),
        ("Curve: logarithmic scale", "or back", screen.action_log_scale),
        ("Curve: values at a cursor", "the arrows move it", screen.action_cursor),
        ("Curve: hide raw or evaluations", "one after the other", screen.action_hide),
        ("Curve: smooth more", "over twice as many steps", partial(screen.action_smooth, 1)),
        ("Curve: smooth less", "over half as many steps", partial(screen.action_smooth, -1)),
        ("Curve: lay another run behind", "or take it away", screen.action_older),
        ("Log and events: filter", "only lines that hold some text", screen.action_filter),
    )


def copying(screen: RunActions) -> tuple[Offer, ...]:
    """What goes to the terminal's clipboard (OSC 52)."""
    return (
        ("Copy the adapter's path", "to the terminal's clipboard (OSC 52), and show it", screen.action_copy_adapter),
        ("Copy the lines that load it", "Python, to the terminal's clipboard", screen.action_copy_lines),
        ("Copy the diagnosis", "to the terminal's clipboard", screen.action_copy_diagnosis),
        ("Copy the events", "to the terminal's clipboard", screen.action_copy_events),
        ("Copy the log", "to the terminal's clipboard", screen.action_copy_log),
    )


class RunCommands(Provider):
    """Steer the run, look at its curves, copy from it."""

    def _offers(self) -> tuple[Offer, ...]:
        screen = cast("RunActions", self.screen)
        return (*(() if screen.ended else steering(screen)), *looking(screen), *copying(screen))

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
