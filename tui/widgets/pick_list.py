"""A list to choose from with the arrow keys or the mouse: devices, models, settings, remedies, presets, checks.

Its items are made by a function of the width, so that columns line up at any size and long values end in an ellipsis
instead of wrapping. Moving the cursor repaints two items, replacing the items only those lines that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from tui.widgets.rows import Row
from tui.widgets.text import content

if TYPE_CHECKING:
    from textual import events

MARGIN = 2
"""Columns before each line: the cursor's bar and a blank."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One item."""

    key: str
    """Key by which the screen knows it."""
    lines: tuple[Row, ...]
    fixed: bool = False
    """A heading or a note: the cursor passes over it."""


Build = Callable[[int], Sequence[Pick]]
"""From the width in cells to the items."""


class PickList(ScrollView, can_focus=True):
    """Items with a cursor.

    Attributes:
        cursor: Index of the item that the cursor is on.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "edge(-1)", show=False),
        Binding("end", "edge(1)", show=False),
        Binding("enter", "choose", "choose", show=False),
    ]
    DEFAULT_CSS = """
    PickList {
        background: transparent;
        overflow-x: hidden;
        overflow-y: auto;
    }
    """
    ALLOW_SELECT: ClassVar[bool] = False

    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        """The cursor stands on another item."""

        def __init__(self, picks: PickList, pick: Pick) -> None:
            super().__init__()
            self.picks = picks
            """The list."""
            self.pick = pick
            """The item."""

        @property
        def control(self) -> PickList:
            """The list, for `on`."""
            return self.picks

    class Chosen(Moved):
        """Enter or a click on the item under the cursor."""

    def __init__(
        self,
        build: Build | None = None,
        *,
        id: str | None = None,
        classes: str | None = None,
        cursor_when_blurred: bool = True,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._build: Build = build or (lambda _width: ())
        self._cursor_when_blurred = cursor_when_blurred
        self._picks: tuple[Pick, ...] = ()
        self._where: list[tuple[int, int]] = []
        self._tops: list[int] = []
        self._width = 0

    @property
    def picks(self) -> tuple[Pick, ...]:
        """The items shown."""
        return self._picks

    @property
    def current(self) -> Pick | None:
        """The item under the cursor; None without items."""
        return self._picks[self.cursor] if 0 <= self.cursor < len(self._picks) else None

    @property
    def plain(self) -> str:
        """The text shown."""
        return "\n".join(line.plain for pick in self._picks for line in pick.lines)

    def show(self, build: Build | None = None, *, key: str | None = None) -> None:
        """Make the items anew.

        Args:
            build: Makes them from now on; as before when None.
            key: Item to put the cursor on; the one that it is on when None.
        """
        if build is not None:
            self._build = build
        wanted = key or (self.current.key if self.current else None)
        self._lay_out(wanted)

    def move_to(self, key: str) -> None:
        """Put the cursor on an item."""
        for index, pick in enumerate(self._picks):
            if pick.key == key and not pick.fixed:
                self.cursor = index

    def place_of_cursor(self) -> Offset:
        """Offset on the screen of the first line of the item under the cursor."""
        top = self._tops[self.cursor] if self._tops else 0
        return self.content_region.offset + Offset(MARGIN, top - self.scroll_offset.y)

    def validate_cursor(self, cursor: int) -> int:
        """Keep it on an item."""
        return max(0, min(cursor, len(self._picks) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint both items and scroll to the new one."""
        if old == new:
            return
        self._repaint(old)
        self._repaint(new)
        if self._tops and new < len(self._tops):
            height = len(self._picks[new].lines)
            # The note or heading above the first item comes into view with it.
            top = 0 if all(pick.fixed for pick in self._picks[:new]) else self._tops[new]
            end = self._tops[new] + height
            self.scroll_to_region(
                Region(0, top, max(1, self._width), max(1, end - top)), animate=False, force=True, immediate=True
            )
        if self.current is not None:
            self.post_message(self.Moved(self, self.current))

    def on_resize(self) -> None:
        """Lay out for the new width."""
        if self.scrollable_content_region.width != self._width:
            self._lay_out(self.current.key if self.current else None)

    def on_focus(self) -> None:
        """Show the cursor."""
        self._repaint(self.cursor)

    def on_blur(self) -> None:
        """Dim the cursor."""
        self._repaint(self.cursor)

    def render_line(self, y: int) -> Strip:
        """Draw one line of the view."""
        index = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        if index >= len(self._where):
            return Strip.blank(width, self.rich_style)
        item, line = self._where[index]
        pick = self._picks[item]
        here = item == self.cursor and not pick.fixed and (self.has_focus or self._cursor_when_blurred)
        bar = ("▌" if here and self.has_focus else " ", "$primary")
        style = "on $raised" if here and self.has_focus else ("on $panel" if here else "")
        room = max(1, width - MARGIN)
        text = content(pick.lines[line], room)
        text = text.pad_right(max(0, room - text.cell_length))
        drawn = type(text).assemble(bar, " ", text)
        if style:
            drawn = drawn.stylize_before(style)
        strips = Visual.to_strips(self, drawn, width, 1, self.visual_style)
        return strips[0] if strips else Strip.blank(width, self.rich_style)

    def notify_style_update(self) -> None:
        """Colours may have changed."""
        super().notify_style_update()
        self.refresh()

    def action_move(self, by: int) -> None:
        """Move to the next item that can be chosen."""
        index = self.cursor + by
        while 0 <= index < len(self._picks):
            if not self._picks[index].fixed:
                self.cursor = index
                return
            index += by
        if by < 0:
            self.scroll_to(y=0, animate=False)

    def action_page(self, by: int) -> None:
        """Move a screenful."""
        self._jump(self.cursor + by * max(1, self.size.height - 1), -by)

    def action_edge(self, by: int) -> None:
        """Move to the first or the last item."""
        self._jump(0 if by < 0 else len(self._picks) - 1, -by)

    def _jump(self, index: int, otherwise: int) -> None:
        index = max(0, min(index, len(self._picks) - 1))
        while 0 <= index < len(self._picks) and self._picks[index].fixed:
            index += otherwise
        if 0 <= index < len(self._picks):
            self.cursor = index

    def action_choose(self) -> None:
        """Choose the item under the cursor."""
        if self.current is not None and not self.current.fixed:
            self.post_message(self.Chosen(self, self.current))

    def on_click(self, event: events.Click) -> None:
        """Move to the item under the mouse; a click on the item under the cursor chooses it."""
        index = event.get_content_offset(self)
        line = self.scroll_offset.y + (index.y if index else -1)
        if not 0 <= line < len(self._where):
            return
        item = self._where[line][0]
        if self._picks[item].fixed:
            return
        if item == self.cursor:
            self.action_choose()
        else:
            self.cursor = item

    def _repaint(self, item: int) -> None:
        if 0 <= item < len(self._tops):
            top = self._tops[item] - self.scroll_offset.y
            self.refresh(Region(0, top, self.size.width, max(1, len(self._picks[item].lines))))

    def _lay_out(self, wanted: str | None) -> None:
        width = self.scrollable_content_region.width
        if not width:
            return
        old_lines = self._lines()
        same_width, self._width = width == self._width, width
        old = self.current
        self._picks = tuple(self._build(width - MARGIN))
        self._index()
        self.virtual_size = Size(width, len(self._where))
        self.set_reactive(PickList.cursor, self._position(wanted))
        if not same_width:
            self.refresh()
        else:
            self._refresh_changed(old_lines)
        if self.current is not None and (old is None or old.key != self.current.key):
            self.refresh()
            self.post_message(self.Moved(self, self.current))

    def _position(self, wanted: str | None) -> int:
        free = [index for index, pick in enumerate(self._picks) if not pick.fixed]
        same = [index for index in free if self._picks[index].key == wanted]
        if same:
            return same[0]
        later = [index for index in free if index >= self.cursor]
        return later[0] if later else (free[-1] if free else 0)

    def _index(self) -> None:
        self._where, self._tops = [], []
        for item, pick in enumerate(self._picks):
            self._tops.append(len(self._where))
            self._where += [(item, line) for line in range(len(pick.lines))]

    def _lines(self) -> list[Row]:
        return [self._picks[item].lines[line] for item, line in self._where]

    def _refresh_changed(self, old: list[Row]) -> None:
        new = self._lines()
        top = self.scroll_offset.y
        for y in range(self.size.height):
            before = old[top + y] if top + y < len(old) else None
            after = new[top + y] if top + y < len(new) else None
            if before != after:
                self.refresh(Region(0, y, self.size.width, 1))
