"""Rows of coloured text that scroll, wrap, can be selected, and repaint only those rows that changed.

Every pane of the dashboard is made of these. Text goes in as plain strings with a tone each: there is no markup to
escape, and a tone is a component class, so that a theme or NO_COLOR changes them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.style import Style
    from textual import events
    from textual.selection import Selection

Tone = Literal["plain", "bright", "label", "quiet", "accent", "good", "caution", "bad", "extra"]
TONES: tuple[Tone, ...] = ("plain", "bright", "label", "quiet", "accent", "good", "caution", "bad", "extra")

Part = tuple[str, Tone]


@dataclass(frozen=True, slots=True)
class Row:
    """One logical line of text."""

    parts: tuple[Part, ...] = ()
    indent: int = 0
    """Columns of a label or mark at its beginning: what follows is wrapped beside it, never below it."""

    @property
    def plain(self) -> str:
        """Text of the line, without tones."""
        return "".join(text for text, _ in self.parts)


def row(*parts: Part | str, indent: int = 0) -> Row:
    """Build a row; a bare string has the tone 'plain'."""
    return Row(tuple(part if isinstance(part, tuple) else (part, "plain") for part in parts if part), indent)


class Rows(ScrollView, can_focus=True):
    """Shows rows; `show` replaces them.

    Attributes:
        follow: Whether the view stays at the end when rows are added, as long as nobody scrolled up.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", show=False),
        Binding("down", "scroll_down", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
        Binding("home", "scroll_home", show=False),
        Binding("end", "scroll_end", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"rows--{tone}" for tone in TONES}
    DEFAULT_CSS = """
    Rows {
        background: transparent;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        & > .rows--plain { color: $foreground; }
        & > .rows--bright { color: $foreground; text-style: bold; }
        & > .rows--label { color: $label; }
        & > .rows--quiet { color: $quiet; }
        & > .rows--accent { color: $primary; }
        & > .rows--good { color: $success; }
        & > .rows--caution { color: $warning; }
        & > .rows--bad { color: $error; text-style: bold; }
        & > .rows--extra { color: $extra; }
    }
    """

    def __init__(
        self, rows: Sequence[Row] = (), *, follow: bool = False, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.follow = follow
        self._rows: tuple[Row, ...] = tuple(rows)
        self._lines: list[Text] = []
        self._width = 0
        self._at_end = follow
        self._recolour = False

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows that are shown."""
        return self._rows

    @property
    def plain(self) -> str:
        """The text shown, a line for each row."""
        return "\n".join(shown.plain for shown in self._rows)

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows from now on; only what differs is repainted."""
        if tuple(rows) == self._rows:
            return
        self._rows = tuple(rows)
        if self._width:
            self._lay_out()

    def on_mount(self) -> None:
        """Wait for the first size."""

    def on_resize(self, event: events.Resize) -> None:
        """Wrap again."""
        if self.scrollable_content_region.width != self._width or not event.size:
            self._lay_out()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Remember whether somebody scrolled away from the end."""
        super().watch_scroll_y(old_value, new_value)
        self._at_end = self.follow and self.is_vertical_scroll_end

    def _to_end(self) -> None:
        if self._at_end:
            self.scroll_end(animate=False, immediate=True, force=True, x_axis=False)
            # ScrollView moves the bar only while it shows, which it may not have done when the rows came.
            self.vertical_scrollbar.position = self.scroll_y

    def notify_style_update(self) -> None:
        """Colours may have changed."""
        super().notify_style_update()
        # A new theme tells of itself before the styles of the tones follow: they are only right when it is drawn.
        self._recolour = bool(self._width)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one line of the view."""
        if self._recolour:
            self._recolour, self._lines = False, self._wrapped()
        scroll_x, scroll_y = self.scroll_offset
        index, width = scroll_y + y, self.size.width
        base = self.rich_style
        if index >= len(self._lines):
            return Strip.blank(width, base)
        text = self._lines[index]
        if self.text_selection is not None and (span := self.text_selection.get_span(index)) is not None:
            start, end = span
            text = text.copy()
            text.stylize(
                self.screen.get_component_rich_style("screen--selection"), start, len(text) if end == -1 else end
            )
        strip = Strip(text.render(self.app.console), text.cell_len).apply_style(base)
        return strip.crop_extend(scroll_x, scroll_x + width, base).apply_offsets(scroll_x, index)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the text under a selection."""
        return selection.extract("\n".join(line.plain for line in self._lines)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002
        """Draw the new selection."""
        self.refresh()

    def _lay_out(self) -> None:
        old = self._lines
        width = self.scrollable_content_region.width
        same_width, self._width = width == self._width, width
        self._lines = self._wrapped()
        self.virtual_size = Size(width, len(self._lines))
        if self._at_end:
            self._to_end()
            # The scroll bar may only come with the next layout, and the last lines with it.
            self.call_after_refresh(self._to_end)
        if not same_width:
            self.refresh()
            return
        top = self.scroll_offset.y
        for y in range(self.size.height):
            if span := changed_span(_line_at(old, top + y), _line_at(self._lines, top + y)):
                self.refresh(Region(span[0], y, span[1] - span[0], 1))

    def _wrapped(self) -> list[Text]:
        styles = {tone: self.get_component_rich_style(f"rows--{tone}", partial=True) for tone in TONES}
        return [line for shown in self._rows for line in wrap(shown, self._width, styles)]


def wrap(shown: Row, width: int, styles: dict[Tone, Style]) -> list[Text]:
    """Wrap one row to a width in cells.

    Args:
        shown: The row.
        width: Cells; at least 1 is assumed.
        styles: The style of each tone.

    Returns:
        At least one line; continuations are indented as the row says.
    """
    text = Text(no_wrap=False, end="")
    for part, tone in shown.parts:
        text.append(part, styles[tone])
    if text.cell_len <= width or width < 2:
        return [text]
    indent = min(shown.indent, width // 2)
    label, said = text[:indent], text[indent:]
    lines = _broken(said, width - indent)
    for line in lines:
        line.rstrip()
    return [label + lines[0], *(Text(" " * indent, end="") + line for line in lines[1:] if line.plain)]


def _broken(text: Text, width: int) -> list[Text]:
    from rich.console import Console

    return list(text.wrap(Console(width=width), width, tab_size=4))


def changed_span(old: Text | None, new: Text | None) -> tuple[int, int] | None:
    """Span of the cells of a line that look different.

    Args:
        old: The line before; None where there was none.
        new: The line now.

    Returns:
        The first cell and the one after the last, None when nothing differs.
    """
    before, after = _cells(old), _cells(new)
    if before == after:
        return None
    longest = max(len(before), len(after))
    before += [_BLANK] * (longest - len(before))
    after += [_BLANK] * (longest - len(after))
    differing = [index for index in range(longest) if before[index] != after[index]]
    return (differing[0], differing[-1] + 1) if differing else None


_BLANK = (" ", "")


def _cells(line: Text | None) -> list[tuple[str, str]]:
    """Character and style of each cell; the second cell of a wide character is empty."""
    if line is None:
        return []
    styles = [""] * len(line)
    for span in line.spans:
        styles[span.start : span.end] = [str(span.style)] * (min(span.end, len(line)) - span.start)
    cells = []
    for character, style in zip(line.plain, styles, strict=True):
        width = cell_len(character)
        cells += [(character, style if character != " " else "")] * min(1, width) + [("", style)] * (width - 1)
    return cells


def _line_at(lines: Sequence[Text], index: int) -> Text | None:
    return lines[index] if 0 <= index < len(lines) else None
