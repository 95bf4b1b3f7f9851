"""Small windows over a step: choose from a list, with a filter; type a value; read a text; say yes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.geometry import Offset
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from presets.errors import WizardError
from tui.terminal.sanitize import clean
from tui.widgets.key_bar import KeyBar
from tui.widgets.pick_list import Build, Pick, PickList
from tui.widgets.rows import Row, Rows, row
from tui.widgets.text import paragraph

Result = TypeVar("Result")


class Popup(ModalScreen[Result | None]):
    """A bordered window; escape closes it without an answer."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "close")]
    DEFAULT_CSS = """
    Popup { align: center middle; }
    Popup > .popup { width: 90; max-width: 96%; height: auto; max-height: 85%; }
    """


class PopupList(PickList):
    """The list of a window."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "choose", key_display="enter")]


class PickPopup(Popup[str]):
    """A list to choose from; typing filters it when it has a filter. Answers with the key of the item.

    It closes when the item is accepted; until then it says what is wrong with it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "choose", priority=False),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
    ]
    DEFAULT_CSS = """
    PickPopup PickList { height: auto; max-height: 1fr; }
    PickPopup Input { margin-bottom: 1; }
    PickPopup #says { height: auto; display: none; }
    PickPopup > .popup.-tall { height: 85%; }
    PickPopup > .popup.-tall PickList { height: 1fr; }
    """

    def __init__(
        self,
        title: str,
        build: Callable[[int, str], Sequence[Pick]],
        *,
        filtered: bool = False,
        current: str | None = None,
        note: str = "",
        at: Offset | None = None,
        width: int | None = None,
        height: int | None = None,
        accept: Callable[[str], None] | None = None,
    ) -> None:
        """Make it.

        Args:
            title: What is chosen.
            build: Makes the items from the width in cells and what was typed into the filter.
            filtered: Whether it has a filter.
            current: Key of the item that the cursor is on first.
            note: What stands in the lower border; the keys when empty.
            at: Where its upper left corner should be; the middle of the screen when None.
            width: In cells.
            height: In rows.
            accept: Called with the chosen key; a `WizardError` it raises is shown and the popup stays.
        """
        super().__init__()
        self._accept = accept
        self._title = title
        self._build = build
        self._filtered = filtered
        self._current = current
        self._note = note
        self._at = at
        self._width = width
        self._height = height
        self._wanted = ""

    def compose(self) -> ComposeResult:
        """The filter, the list, and a note."""
        with Vertical(classes="popup" if self._height else "popup -tall") as box:
            box.border_title = self._title
            box.border_subtitle = self._note or "enter chooses · esc closes"
            if self._filtered:
                yield Input(placeholder="type to filter", id="filter")
            yield PopupList(self._items(), id="popup-list")
            yield Static(id="says", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Take the place and the focus."""
        box = self.query_one(".popup")
        if self._width:
            box.styles.width = min(self._width, self.app.size.width - 2)
        if self._height:
            box.styles.height = self._height
            self.query_one(PickList).styles.height = self._height - 2 - (2 if self._filtered else 0)
        if self._at is not None:
            place_at(self, box, self._at, self._width or 60, self._height or 12)
        if self._height and self._height > self.app.size.height - 4:
            box.styles.height = self.app.size.height - 4
            self.query_one(PickList).styles.height = "1fr"
        picks = self.query_one(PickList)
        (self.query_one(Input) if self._filtered else picks).focus()
        self.call_after_refresh(picks.show, key=self._current)

    def _items(self) -> Build:
        return lambda width: self._build(width, self._wanted)

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self._wanted = event.value
        self.query_one(PickList).show(self._items())

    @on(Input.Submitted)
    def action_choose(self) -> None:
        """Answer with the item under the cursor."""
        current = self.query_one(PickList).current
        if current is not None and not current.fixed:
            self._answer(current.key)

    @on(PickList.Chosen)
    def _chosen(self, event: PickList.Chosen) -> None:
        self._answer(event.pick.key)

    def _answer(self, key: str) -> None:
        try:
            if self._accept is not None:
                self._accept(key)
        except WizardError as error:
            says = self.query_one("#says", Static)
            says.update(paragraph(refusal(error)))
            says.display = True
            box = self.query_one(".popup")
            if self._height:
                # The message gets room below the list.
                box.styles.height, box.styles.max_height = "auto", "85%"
            return
        self.dismiss(key)

    @on(PickList.Moved)
    def _moved(self, event: PickList.Moved) -> None:
        if not isinstance(event, PickList.Chosen):
            self.query_one("#says").display = False

    def action_move(self, by: int) -> None:
        """Move the list's cursor while the filter has the focus."""
        self.query_one(PickList).action_move(by)

    def action_page(self, by: int) -> None:
        """Move the list's cursor a screenful."""
        self.query_one(PickList).action_page(by)


class ValuePopup(Popup[str]):
    """One line to type into. It closes when what was typed is accepted; until then it says what is wrong."""

    DEFAULT_CSS = """
    ValuePopup > .popup { width: 72; }
    ValuePopup #says { height: auto; color: $quiet; }
    """

    def __init__(
        self,
        title: str,
        value: str,
        accept: Callable[[str], None],
        *,
        hint: str = "",
        at: Offset | None = None,
        width: int = 72,
        live: Callable[[str], Sequence[Row]] | None = None,
    ) -> None:
        """Make it.

        Args:
            title: What is typed.
            value: What stands there first.
            accept: Called with what was typed; a `WizardError` it raises is shown and the popup stays.
            hint: Shown until something is wrong.
            at: Where its upper left corner should be; the middle of the screen when None.
            width: In cells.
            live: Rows that say what the text would mean, asked for at each key.
        """
        super().__init__()
        self._title = title
        self._value = value
        self._accept = accept
        self._hint = hint
        self._at = at
        self._width = width
        self._live = live

    def compose(self) -> ComposeResult:
        """The field and what is said about it."""
        with Vertical(classes="popup") as box:
            box.border_title = self._title
            box.border_subtitle = "enter takes it · esc leaves it"
            yield Input(self._value, id="value", select_on_focus=True)
            yield Static(id="says", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Take the place and the focus."""
        box = self.query_one(".popup")
        box.styles.width = self._width
        if self._at is not None:
            place_at(self, box, self._at, self._width, 4)
        self._say([row((self._hint, "quiet"))] if self._hint else [])
        self.query_one(Input).focus()

    def _say(self, rows: Sequence[Row]) -> None:
        says = self.query_one("#says", Static)
        says.display = bool(rows)
        says.update(paragraph(rows))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        hint = [row((self._hint, "quiet"))] if self._hint else []
        self._say([*(self._live(event.value) if self._live else ()), *hint])

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        try:
            self._accept(event.value)
        except WizardError as error:
            self._say(refusal(error))
            return
        self.dismiss(event.value)


class TextPopup(Popup[str]):
    """Popup of text to read."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,q,question_mark", "dismiss", show=False)]
    DEFAULT_CSS = """
    TextPopup > .popup { height: auto; max-height: 80%; padding: 0 1 0 2; }
    TextPopup Rows { height: auto; max-height: 100%; }
    """

    def __init__(self, title: str, rows: Sequence[Row]) -> None:
        super().__init__()
        self._title = title
        self._rows = tuple(rows)

    def compose(self) -> ComposeResult:
        """The text."""
        with Vertical(classes="popup") as box:
            box.border_title = self._title
            box.border_subtitle = "esc closes"
            yield Rows(self._rows)
        yield KeyBar()


class ConfirmPopup(Popup[str]):
    """Popup that asks before something is done; answers 'yes' or nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,y", "yes", "do it", key_display="enter")]
    DEFAULT_CSS = """
    ConfirmPopup > .popup { width: 84; height: auto; }
    ConfirmPopup VerticalScroll { height: auto; max-height: 24; }
    ConfirmPopup Static { height: auto; }
    """

    def __init__(self, title: str, rows: Sequence[Row], *, yes: str = "do it") -> None:
        super().__init__()
        self._title = title
        self._rows = tuple(rows)
        self._yes = yes

    def compose(self) -> ComposeResult:
        """Lay the rows out that say what will happen."""
        with Vertical(classes="popup") as box:
            box.border_title = self._title
            box.border_subtitle = f"enter: {self._yes} · esc: leave it"
            with VerticalScroll():
                yield Static(paragraph(self._rows))
        yield KeyBar()

    def action_yes(self) -> None:
        """Answer yes."""
        self.dismiss("yes")


def refusal(error: WizardError) -> list[Row]:
    """Rows of the reason that a value is not taken, and of the remedy."""
    told = [row(("✗ ", "bad"), (clean(error.message), "plain"), indent=2)]
    return [*told, row(("→ ", "accent"), clean(error.remedy), indent=2)] if error.remedy else told


def place_at(screen: ModalScreen[str | None], box: object, at: Offset, width: int, height: int) -> None:
    """Put a window's corner at a place, moved so far that all of it is on the screen."""
    from textual.widget import Widget

    if not isinstance(box, Widget):
        return
    columns, rows = screen.app.size
    screen.styles.align = ("left", "top")
    box.styles.offset = (max(0, min(at.x, columns - width - 1)), max(1, min(at.y, rows - height - 2)))
