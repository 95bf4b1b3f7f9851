"""A question that only the person can answer: the ways, and what each makes of the first row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from presets.errors import WizardError
from tui.screens.popup import Popup, PopupList
from tui.terminal.sanitize import clean
from tui.terminal.task import Run, Task
from tui.widgets.key_bar import KeyBar
from tui.widgets.pick_list import Pick, PickList
from tui.widgets.rows import row
from tui.widgets.sample import sample_content

if TYPE_CHECKING:
    from presets.questions import Choice, Question
    from recommender.data.tokens.tokenise import Piece

TALLEST = 0.92
"""Share of the screen's height that the window takes at most."""
ROW_LINES = 6
"""Lines of the first row that are seen at least."""
THEN = "the first row then (highlighted: the loss sees it)"
Look = Callable[[Mapping[str, Any]], "Sequence[Piece]"]
"""The first row under the settings of an answer."""


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
    QuestionPopup PickList { height: auto; }
    QuestionPopup #then { margin-top: 1; color: $label; }
    QuestionPopup VerticalScroll { height: auto; }
    """

    def __init__(self, question: Question, look: Look | None = None, *, colour: bool = True) -> None:
        super().__init__()
        self._question = question
        self._look = look
        self._colour = colour
        self._seen: dict[int, tuple[Content, Content]] = {}
        self._rows = Task(self, "rows")

    def compose(self) -> ComposeResult:
        """The question, the ways, and the first row under the one that the cursor is on."""
        with Vertical(classes="popup") as box:
            box.border_title = "which is it?"
            box.border_subtitle = "enter chooses · esc leaves it open: nothing starts"
            yield Static(clean(self._question.text), id="asked", markup=False)
            yield PopupList(self._picks, id="popup-list")
            if self._look is not None:
                yield Static(THEN, id="then", markup=False)
                with VerticalScroll():
                    yield Static(id="first-row")
        yield KeyBar()

    def on_mount(self) -> None:
        """Take the focus, and read the first row."""
        self.query_one(PickList).focus()
        if (look := self._look) is not None:
            self._rows.start(lambda run: self._read(run, look), lambda _: None, self._not_read)

    def on_resize(self) -> None:
        """Share the height out anew."""
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        """Give the list and the row the height that the question leaves, so that the ends of both can be reached."""
        # Less the row of keys, the border, and a blank line above and below the list.
        room = int((self.size.height - 1) * TALLEST) - 2 - self.query_one("#asked").outer_size.height - 2
        picks = self.query_one(PickList)
        if self._look is None:
            picks.styles.max_height = max(2, room + 1)
            return
        room -= self.query_one("#then").outer_size.height
        listed = max(2, min(sum(len(pick.lines) for pick in picks.picks), room - ROW_LINES))
        picks.styles.max_height = listed
        self.query_one(VerticalScroll).styles.max_height = max(2, room - listed)
        self.call_after_refresh(self._to_trained)

    def _picks(self, _width: int) -> list[Pick]:
        return [Pick(str(number), _lines(choice)) for number, choice in enumerate(self._question.choices)]

    def _read(self, run: Run, look: Look) -> None:
        for number, choice in enumerate(self._question.choices):
            if run.stopped():
                return
            try:
                run.deliver(self._one_seen, number, look(choice.set))
            except WizardError as error:
                run.deliver(self._one_seen, number, (), error.message)

    def _not_read(self, error: WizardError) -> None:
        for number in range(len(self._question.choices)):
            if number not in self._seen:
                self._one_seen(number, (), error.message)

    def _one_seen(self, number: int, pieces: Sequence[Piece], error: str = "") -> None:
        shown = sample_content(pieces, colour=self._colour) if pieces else Content(clean(error))
        before = next((place for place, piece in enumerate(pieces) if piece.trained), 0)
        self._seen[number] = shown, sample_content(pieces[:before], colour=self._colour)
        self._show_row()

    @on(PickList.Moved)
    def _show_row(self) -> None:
        if self._look is None:
            return
        text = self.query_one("#first-row", Static)
        text.update(self._row[0] if self._row else "reading …")
        self.call_after_refresh(self._to_trained)

    @property
    def _row(self) -> tuple[Content, Content] | None:
        """First row under the answer at the cursor, and the part of it before its trained text."""
        current = self.query_one(PickList).current
        return self._seen.get(int(current.key)) if current else None

    def _to_trained(self) -> None:
        """Bring what is trained of a long row into view: it is what the answers differ in."""
        if self._row is None:
            return
        box, then = self.query_one(VerticalScroll), self.query_one("#then", Static)
        said = f"{THEN} · tab, then ↑ ↓ scrolls it" if box.virtual_size.height > box.size.height else THEN
        if str(then.content) != said:
            then.update(said)
            self.call_after_refresh(self._fit)
        above = self._row[1].get_height({}, max(1, box.scrollable_content_region.width)) if self._row[1] else 0
        box.scroll_to(y=max(0, above - 2), animate=False, force=True)

    @on(PickList.Chosen)
    def _chosen(self, event: PickList.Chosen) -> None:
        self.dismiss(int(event.pick.key))


def _lines(choice: Choice) -> tuple[Any, ...]:
    """Lines of an answer: its consequence, and the settings that it makes."""
    settings = ", ".join(f"{key}: {_value(value)}" for key, value in choice.set.items())
    return row((clean(choice.text), "bright")), row((clean(f"  {settings}"), "quiet"))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {held}" for key, held in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
