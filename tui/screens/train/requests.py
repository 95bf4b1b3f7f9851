"""Requests to the run by the dashboard's keys, and what they copy from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from presets.errors import WizardError
from trainer.diagnosis.diagnose import diagnose
from trainer.run.commands import request
from trainer.run.events import Command
from trainer.run.state import whole
from tui.dashboard.ending import has_ended, loading_lines
from tui.dashboard.event_lines import COMMAND_WORDS, event_line
from tui.dashboard.export_commands import adapter_path
from tui.screens.train.stop import StopScreen
from tui.terminal.sanitize import clean, clean_lines

if TYPE_CHECKING:
    from textual.screen import Screen

    from trainer.history.reader import Snapshot


class RequestKeys:
    """Requests to a run and copies from it, a part of the Train screen.

    Args:
        screen: The Train screen.
        run_path: The run's folder.

    Attributes:
        snapshot: The newest look at the run; None before the first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "stop", "stop"),
        Binding("c", "ask('checkpoint')", "checkpoint"),
        Binding("v", "ask('evaluate')", "evaluate"),
        Binding("space", "pause", "pause", key_display="space"),
        Binding("E", "ask('stop_after_epoch')", "end after this epoch", show=False),
    ]
    REQUESTS: ClassVar[frozenset[str]] = frozenset({"stop", "ask", "pause"})
    """Actions that only a living run can be asked for."""

    def __init__(self, screen: Screen[None], run_path: Path) -> None:
        self._screen = screen
        self._run_path = run_path
        self.snapshot: Snapshot | None = None

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.snapshot is not None and has_ended(self.snapshot)

    def action_stop(self) -> None:
        """Ask whether to save and stop, stop, or keep going."""
        if self.snapshot is None or self.ended:
            return
        steps = [whole(saved.get("step")) for saved in self.snapshot.checkpoints]
        saved = max((step for step in steps if step is not None), default=None)
        self._screen.app.push_screen(
            StopScreen(clean(self.snapshot.run_id), self.snapshot.state.step, saved),
            lambda answer: self.action_ask(answer) if answer else None,
        )

    def action_pause(self) -> None:
        """Pause the run after its present step, or let one that was paused go on."""
        if self.snapshot is not None:
            self.action_ask("continue" if self.snapshot.status == "paused" else "pause")

    def action_ask(self, command: Command) -> None:
        """Send the run a request; its event answers."""
        if self.snapshot is None or self.ended:
            return
        try:
            request(self._run_path, command)
        except WizardError as error:
            self._screen.notify(clean(str(error)), title="not sent", severity="error", markup=False)
            return
        self._screen.notify(f"asked for: {COMMAND_WORDS[command]}", timeout=3, markup=False)

    def action_copy_adapter(self) -> None:
        """Copy the adapter's path to the terminal's clipboard (OSC 52) and show it."""
        path = adapter_path(self.snapshot) if self.snapshot else None
        self._copy(str(path) if path is not None else "")

    def action_copy_lines(self) -> None:
        """Copy the Python that loads the result, and show it."""
        self._copy("\n".join(loading_lines(self.snapshot)) if self.snapshot else "")

    def action_copy_diagnosis(self) -> None:
        """Copy the diagnosis."""
        found = diagnose(self.snapshot) if self.snapshot else ()
        said = [" ".join(filter(None, (f"{each.title}.", each.evidence, each.change))) for each in found]
        self._copy("\n".join(said))

    def action_copy_events(self) -> None:
        """Copy the events."""
        said = [event_line(event) for event in self.snapshot.events] if self.snapshot else []
        self._copy("\n".join(f"{line.clock}  {line.text}" for line in said if line), shown="the events")

    def action_copy_log(self) -> None:
        """Copy the log's last lines."""
        self._copy("\n".join(clean(line) for line in self.snapshot.log) if self.snapshot else "", shown="the log")

    def _copy(self, text: str, shown: str = "") -> None:
        if not text:
            nothing = "There is nothing yet." if shown else "There is no adapter yet: it is written when the run ends."
            self._screen.notify(nothing, timeout=4)
            return
        self._screen.app.copy_to_clipboard(text)
        self._screen.notify(shown or "\n".join(clean_lines(text)), title="copied", timeout=8, markup=False)
