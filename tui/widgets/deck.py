"""The pane with several pages: events, log and samples; where there is little room also now, doctor and summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import ContentSwitcher

from tui.clean import clean
from tui.event_lines import event_line, word
from tui.widgets.rows import Row, Rows, Tone, row

if TYPE_CHECKING:
    from trainer.reader import Snapshot

WIDE_PAGES = ("events", "log", "samples")
NARROW_PAGES = ("now", "doctor", *WIDE_PAGES)
ENDED_PAGES = ("summary", *WIDE_PAGES)


class Deck(Vertical):
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

    def compose(self) -> ComposeResult:
        """Make every page; one is seen."""
        with ContentSwitcher(initial="page-events"):
            for name in ("now", "doctor", "summary", "events", "log", "samples"):
                yield Rows(id=f"page-{name}", follow=name in WIDE_PAGES)

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

    def show(self, snapshot: Snapshot, now: Sequence[Row], doctor: Sequence[Row], summary: Sequence[Row]) -> None:
        """Fill the pages from a snapshot."""
        self.ended = bool(summary)
        self._page("now").show(now)
        self._page("doctor").show(doctor)
        self._page("summary").show(summary)
        # A snapshot holds hundreds of events and lines, of which seldom any is new.
        if self._changed("events", snapshot.events[-1:]):
            self._page("events").show([shown for event in snapshot.events for shown in _event(event)])
        if self._changed("log", snapshot.log):
            self._page("log").show([row((clean(line), "label"), indent=2) for line in snapshot.log])
        if self._changed("samples", snapshot.samples[-1:], len(snapshot.samples)):
            self._page("samples").show(_samples(snapshot))

    def _changed(self, page: str, *made_of: object) -> bool:
        """Whether a page would be made of something else than before."""
        before, self._made_of[page] = self._made_of.get(page), made_of
        return before != made_of

    def watch_narrow(self) -> None:
        """Begin with the page that would be missed most."""
        self._first_page()

    def watch_ended(self) -> None:
        """A run that has ended shows how it went."""
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
        self.border_subtitle = "l turns"

    def _page(self, name: str) -> Rows:
        return self.query_one(f"#page-{name}", Rows)


def _event(event: object) -> list[Row]:
    said = event_line(event) if isinstance(event, dict) else None
    if said is None:
        return []
    return [row((f"{said.clock}  ", "quiet"), (said.text, said.tone), indent=10)]


def _samples(snapshot: Snapshot) -> list[Row]:
    """Each answer under its prompt, oldest first."""
    rows: list[Row] = []
    for sample in snapshot.samples:
        when = {"before": "before training", "after": "after training"}.get(word(sample, "when") or "", "")
        step = sample.get("step")
        where = when or (f"step {step}" if isinstance(step, int) else "")
        if rows:
            rows.append(row())
        rows.append(row((f"{where}  ", "quiet"), (word(sample, "prompt") or "", "plain"), indent=2))
        tone: Tone = "good" if when == "after training" else "extra"
        rows.append(row("  ", (word(sample, "answer") or "(nothing)", tone), indent=2))
        if expected := word(sample, "expected"):
            rows.append(row(("  expected  ", "quiet"), (expected, "label"), indent=2))
    return rows or [row(("no samples yet", "quiet"))]
