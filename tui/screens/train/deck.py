"""The pane with several pages: events, log, samples, settings; in little room also now, diagnosis, summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.markup import escape
from textual.reactive import reactive
from textual.widgets import ContentSwitcher

from tui.dashboard.event_lines import event_line
from tui.dashboard.samples import sample_rows
from tui.dashboard.settings import setting_rows
from tui.terminal.sanitize import clean
from tui.widgets.rows import Row, Rows, row

if TYPE_CHECKING:
    from trainer.history.reader import Snapshot

WIDE_PAGES = ("events", "log", "samples", "settings")
FOLLOWED = ("events", "log", "samples")
"""Pages that are followed to their end, where new lines come."""
NARROW_PAGES = ("now", "diagnosis", *WIDE_PAGES)
ENDED_PAGES = ("summary", *WIDE_PAGES)


class PagedPane(Vertical):
    """Shows one page of a run at a time.

    Attributes:
        narrow: Whether the panes beside the curve are pages here.
        ended: Whether the run has ended, and its summary takes their place.
        page: The page that is seen.
    """

    narrow: reactive[bool] = reactive(False, init=False)
    ended: reactive[bool] = reactive(False, init=False)
    page: reactive[str] = reactive("events", init=False)

    def __init__(self) -> None:
        super().__init__(classes="pane")
        self._made_of: dict[str, tuple[object, ...]] = {}
        self.filter = ""
        self._snapshot: Snapshot | None = None

    def compose(self) -> ComposeResult:
        """Make every page; one is seen."""
        with ContentSwitcher(initial="page-events"):
            for name in ("now", "diagnosis", "summary", *WIDE_PAGES):
                yield Rows(id=f"page-{name}", follow=name in FOLLOWED)

    def on_mount(self) -> None:
        """Say which pages there are."""
        self._say_pages()

    @property
    def pages(self) -> tuple[str, ...]:
        """The pages that can be turned to now."""
        if not self.narrow:
            return WIDE_PAGES
        return ENDED_PAGES if self.ended else NARROW_PAGES

    def turn(self) -> None:
        """Go to the next page."""
        pages = self.pages
        self.page = pages[(pages.index(self.page) + 1) % len(pages)] if self.page in pages else pages[0]

    def show(self, snapshot: Snapshot, now: Sequence[Row], diagnosis: Sequence[Row], summary: Sequence[Row]) -> None:
        """Fill the pages from a snapshot."""
        self.ended = bool(summary)
        self._snapshot = snapshot
        self._page("now").show(now)
        self._page("diagnosis").show(diagnosis)
        self._page("summary").show(summary)
        self._show_lines(snapshot)
        if self._changed("samples", snapshot.samples[-1:], len(snapshot.samples)):
            self._page("samples").show(sample_rows(snapshot.samples))

    def show_only(self, wanted: str) -> None:
        """Leave out events, settings and lines of the log that do not hold this text, in any case; empty: none."""
        self.filter = wanted.strip()
        self._say_pages()
        if self._snapshot is not None:
            self._show_lines(self._snapshot)

    def _show_lines(self, snapshot: Snapshot) -> None:
        # A snapshot holds hundreds of events and lines, of which seldom any is new.
        if self._changed("events", snapshot.events[-1:], self.filter):
            self._page("events").show(self._matching([shown for event in snapshot.events for shown in _event(event)]))
        if self._changed("settings", snapshot.config, self._changes(snapshot), self.filter):
            self._page("settings").show(self._matching(setting_rows(snapshot.config, snapshot.events)))
        if self._changed("log", snapshot.log, self.filter):
            self._page("log").show(self._matching([row((clean(line), "label"), indent=2) for line in snapshot.log]))

    @staticmethod
    def _changes(snapshot: Snapshot) -> int:
        return sum(event.get("kind") == "recovery" for event in snapshot.events)

    def _matching(self, rows: Sequence[Row]) -> Sequence[Row]:
        wanted = self.filter.casefold()
        return [shown for shown in rows if wanted in shown.plain.casefold()]

    def _changed(self, page: str, *made_of: object) -> bool:
        """Whether a page would be made of something else than before."""
        before, self._made_of[page] = self._made_of.get(page), made_of
        return before != made_of

    def watch_narrow(self) -> None:
        """Begin with the page that would be missed most."""
        self._first_page()

    def watch_ended(self) -> None:
        """Show the first page, a summary of the run once it has ended."""
        self._first_page()

    def watch_page(self, page: str) -> None:
        """Turn to a page."""
        self.query_one(ContentSwitcher).current = f"page-{page}"
        self._say_pages()

    def _first_page(self) -> None:
        self.page = self.pages[0]
        self._say_pages()

    def _say_pages(self) -> None:
        parts: list[tuple[str, str]] = []
        for name in self.pages:
            parts += [(" · ", "$quiet")] if parts else []
            parts.append((name, "bold $primary" if name == self.page else "$quiet"))
        self.border_title = Content.assemble(*parts)
        self.border_subtitle = escape(f"only: {self.filter} · / changes · l turns" if self.filter else "l turns")

    def _page(self, name: str) -> Rows:
        return self.query_one(f"#page-{name}", Rows)


def _event(event: object) -> list[Row]:
    said = event_line(event) if isinstance(event, dict) else None
    if said is None:
        return []
    return [row((f"{said.clock}  ", "quiet"), (said.text, said.tone), indent=10)]
