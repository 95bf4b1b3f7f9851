"""A question whose answer costs something: yes or no."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.terminal.sanitize import clean


def about_command(command: str) -> YesNo:
    """The question whether run.on_end may run; enter is no answer to it."""
    question = (
        "When the run has ended, run.on_end would run this shell command as you, with your files and keys:\n\n"
        f"{command}\n\nThe answer is kept on this machine for exactly this command."
    )
    return YesNo("\n".join(map(clean, question.split("\n"))), "run it then", enter_says_yes=False)


class YesNo(ModalScreen[bool]):
    """A question with its consequence in one line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("enter", "enter", "yes", show=False),
        Binding("n,escape", "answer(False)", "no"),
    ]
    DEFAULT_CSS = """
    YesNo { align: center middle; }
    YesNo > Vertical { width: 76; max-width: 96%; height: auto; padding: 1 2; }
    YesNo Static { height: auto; }
    """

    def __init__(self, question: str, does: str, *, enter_says_yes: bool = True) -> None:
        super().__init__()
        self._enter_says_yes = enter_says_yes
        self._question = question
        self._does = does

    def compose(self) -> ComposeResult:
        """The question."""
        with Vertical(classes="popup") as box:
            box.border_title = self._does
            box.border_subtitle = f"y {self._does} · n leave it"
            yield Static(self._question, markup=False)

    def action_enter(self) -> None:
        """Agree, where a key pressed by habit may."""
        if self._enter_says_yes:
            self.dismiss(True)

    def action_answer(self, yes: bool) -> None:
        """Close with an answer."""
        self.dismiss(yes)
