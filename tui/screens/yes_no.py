"""A question whose answer costs something: yes or no."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.terminal.sanitize import clean
from tui.widgets.key_bar import KeyBar

if TYPE_CHECKING:
    from recommender.model.spec import ModelSpec


def about_command(command: str) -> YesNo:
    """The question whether run.on_end may run; enter is no answer to it."""
    question = (
        "When the run has ended, run.on_end would run this shell command as you, with your files and keys:\n\n"
        f"{command}\n\nThe answer is kept on this machine for exactly this command."
    )
    return YesNo("\n".join(map(clean, question.split("\n"))), "run it then", enter_says_yes=False)


def about_code(model: ModelSpec) -> YesNo:
    """The question whether a model's own Python code may run; enter is no answer to it."""
    files = ", ".join(model.own_code)
    where = f"They lie in {model.path}." if model.path else "They are downloaded with it."
    question = (
        f"{model.name} is built by Python code that comes with it: {files}. {where}\n\n"
        "Training, tracing, chat and merge would run that code as you, with your files and keys. Planning does not run "
        "it. The answer is for this model only, and is written into the configuration and the run's record."
    )
    return YesNo("\n".join(map(clean, question.split("\n"))), "run its code", enter_says_yes=False)


class YesNo(ModalScreen[bool]):
    """A question with its consequence in one line; a long one scrolls.

    Args:
        question: What is asked.
        does: What a yes does.
        enter_says_yes: Whether enter is a yes too. Where it is not, a yes is taken once the end was in view.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("enter", "enter", "yes", show=False),
        Binding("n,escape", "answer(False)", "no"),
    ]
    DEFAULT_CSS = """
    YesNo { align: center middle; }
    YesNo > Vertical { width: 76; max-width: 96%; height: auto; padding: 1 2; }
    YesNo VerticalScroll { height: auto; max-height: 75vh; scrollbar-size-vertical: 1; }
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
            box.border_subtitle = self._keys
            with VerticalScroll():
                yield Static(self._question, markup=False)
        yield KeyBar()

    @property
    def _keys(self) -> str:
        return f"y {self._does} · n leave it"

    def on_resize(self) -> None:
        """Name the keys that scroll where there is more than is seen."""
        self.call_after_refresh(self._name_keys)

    def _name_keys(self) -> None:
        more = self.query_one(VerticalScroll).max_scroll_y > 0
        self.query_one(".popup", Vertical).border_subtitle = f"↑ ↓ scrolls · {self._keys}" if more else self._keys

    def action_enter(self) -> None:
        """Agree, where a key pressed by habit may."""
        if self._enter_says_yes:
            self.dismiss(True)

    def action_answer(self, yes: bool) -> None:
        """Close with an answer."""
        text = self.query_one(VerticalScroll)
        if yes and not self._enter_says_yes and text.scroll_offset.y < text.max_scroll_y:
            text.scroll_page_down(animate=False)
            self.notify("There is more of it: y is taken at its end.", severity="warning", timeout=3)
            return
        self.dismiss(yes)
