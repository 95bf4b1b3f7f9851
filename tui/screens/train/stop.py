"""The question before a run is stopped: save and stop, stop without saving, or keep going."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from recommender.units import counted
from trainer.run.events import Command


class StopScreen(ModalScreen[Command | None]):
    """Answers 'stop', 'stop_now', or None to keep going."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "answer('stop')", "save and stop"),
        Binding("x", "answer('stop_now')", "stop without saving"),
        Binding("escape,k", "answer('')", "keep going"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]
    DEFAULT_CSS = """
    StopScreen {
        align: center middle;
        background: $background 60%;
        & > Vertical {
            width: 70;
            max-width: 100%;
            height: auto;
            padding: 1 2;
            border: round $warning;
            background: $surface;
            border-title-color: $warning;
        }
        Static { height: auto; margin-bottom: 1; }
        Horizontal { height: auto; align-horizontal: center; }
        Button.answer { margin: 0 1; min-width: 18; background: $raised; color: $foreground; text-style: none; }
        Button.answer:focus { background: $primary; color: $on-accent; text-style: bold; }
    }
    """

    def __init__(self, run_id: str, step: int | None, saved_step: int | None) -> None:
        super().__init__()
        self._run_id = run_id
        self._step = step
        self._saved_step = saved_step

    def compose(self) -> ComposeResult:
        """Show the question with what each answer does."""
        with Vertical() as box:
            box.border_title = "stop the run?"
            yield Static(self._consequence(), markup=False)
            with Horizontal():
                yield Button("Save and stop  s", id="stop", compact=True, classes="answer")
                yield Button("Stop without saving  x", id="stop_now", compact=True, classes="answer")
                yield Button("Keep going  esc", id="keep", compact=True, classes="answer")

    def _consequence(self) -> str:
        text = f"{self._run_id} is at step {self._step or 0}. Save and stop writes a checkpoint to `resume` from."
        if self._saved_step is None:
            return f"{text} Without saving everything so far is lost: there is no checkpoint yet."
        lost = max(0, (self._step or 0) - self._saved_step)
        return f"{text} Without saving the work of {counted(lost, 'step')} since checkpoint {self._saved_step} is lost."

    def on_mount(self) -> None:
        """Put the focus on the answer that loses nothing."""
        self.query_one("#stop", Button).focus()

    def action_answer(self, command: str) -> None:
        """Close with an answer; an empty one keeps the run going."""
        answers: dict[str, Command] = {"stop": "stop", "stop_now": "stop_now"}
        self.dismiss(answers.get(command))

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.action_answer(event.button.id or "")
