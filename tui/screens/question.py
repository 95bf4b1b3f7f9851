"""A question that only the person can answer: the ways, and what each makes of the first row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from presets.errors import WizardError
from tui.background import background
from tui.clean import clean
from tui.screens.popup import Popup, PopupList
from tui.widgets.key_bar import KeyBar
from tui.widgets.pick_list import Pick, PickList
from tui.widgets.rows import row
from tui.widgets.sample import sample_content

if TYPE_CHECKING:
    from presets.questions import Choice, Question
    from recommender.data.tokenise import Piece

Look = Callable[[Mapping[str, Any]], "Sequence[Piece]"]
"""The first row under the settings of an answer."""


class Seen(Message):
    """The first row under one answer."""

    def __init__(self, number: int, pieces: Sequence[Piece], error: str = "") -> None:
        super().__init__()
        self.number = number
        """Of which answer."""
        self.pieces = pieces
        """The row; nothing where it cannot be shown."""
        self.error = error
        """Why."""


class QuestionPopup(Popup[int]):
    """Answers with the number of the answer that was chosen.

    Args:
        question: What is asked.
        look: Reads the first row under an answer's settings, in a thread; None where an answer changes no row.
        colour: Whether colours are shown.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "choose", priority=False)]
    DEFAULT_CSS = """
    QuestionPopup > .popup { width: 110; max-height: 92%; }
    QuestionPopup Static { height: auto; }
    QuestionPopup #asked { margin-bottom: 1; }
    QuestionPopup PickList { height: auto; max-height: 14; }
    QuestionPopup #then { margin-top: 1; color: $label; }
    QuestionPopup VerticalScroll { height: auto; max-height: 12; }
    """

    def __init__(self, question: Question, look: Look | None = None, *, colour: bool = True) -> None:
        super().__init__()
        self._question = question
        self._look = look
        self._colour = colour
        self._seen: dict[int, Content] = {}

    def compose(self) -> ComposeResult:
        """The question, the ways, and the first row under the one that the cursor is on."""
        with Vertical(classes="popup") as box:
            box.border_title = "which is it?"
            box.border_subtitle = "enter chooses · esc leaves it open: nothing starts"
            yield Static(clean(self._question.text), id="asked", markup=False)
            yield PopupList(self._picks, id="popup-list")
            if self._look is not None:
                yield Static("the first row then (highlighted: the loss sees it)", id="then", markup=False)
                with VerticalScroll():
                    yield Static(id="first-row")
        yield KeyBar()

    def on_mount(self) -> None:
        """Take the focus, and read the first row."""
        self.query_one(PickList).focus()
        if (look := self._look) is not None:
            background(self, lambda: self._read(look), self._not_read, group="rows")

    def _picks(self, _width: int) -> list[Pick]:
        return [Pick(str(number), _lines(choice)) for number, choice in enumerate(self._question.choices)]

    def _read(self, look: Look) -> None:
        for number, choice in enumerate(self._question.choices):
            try:
                self.post_message(Seen(number, look(choice.set)))
            except WizardError as error:
                self.post_message(Seen(number, (), error.message))

    def _not_read(self, error: WizardError) -> None:
        for number in range(len(self._question.choices)):
            if number not in self._seen:
                self._one_seen(Seen(number, (), error.message))

    @on(Seen)
    def _one_seen(self, message: Seen) -> None:
        shown = sample_content(message.pieces, colour=self._colour) if message.pieces else Content(clean(message.error))
        self._seen[message.number] = shown
        self._show_row()

    @on(PickList.Moved)
    def _show_row(self) -> None:
        if self._look is None:
            return
        current = self.query_one(PickList).current
        shown = self._seen.get(int(current.key)) if current else None
        self.query_one("#first-row", Static).update(shown if shown is not None else "reading …")

    @on(PickList.Chosen)
    def _chosen(self, event: PickList.Chosen) -> None:
        self.dismiss(int(event.pick.key))


def _lines(choice: Choice) -> tuple[Any, ...]:
    """What follows from an answer, and the settings that it makes."""
    settings = ", ".join(f"{key}: {_value(value)}" for key, value in choice.set.items())
    return row((clean(choice.text), "bright")), row((clean(f"  {settings}"), "quiet"))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {held}" for key, held in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
