"""The right half of the Data screen: any row as the model will see it, and the ways to get to one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.message import Message
from textual.widgets import Static

from recommender.units import count, counted
from tui.screens.data.near_duplicates import NearSearch
from tui.terminal.background import background
from tui.terminal.sanitize import clean
from tui.widgets.sample import sample_content

if TYPE_CHECKING:
    from presets.errors import WizardError
    from recommender.data.dataset import DataSet, Sample

NOTED_SECONDS = 0.2
"""After which it is said that rows are being looked through."""


class Sampled(Message):
    """A row as the model will see it, ready to be shown."""

    def __init__(self, dataset: DataSet, sample: Sample | None, error: str = "") -> None:
        super().__init__()
        self.dataset = dataset
        """Of which data."""
        self.sample = sample
        """The row; None when it cannot be shown."""
        self.error = error
        """Why."""


class RowFound(Message):
    """Where the row that was looked for is."""

    def __init__(self, dataset: DataSet, looking: object, row: int | None) -> None:
        super().__init__()
        self.dataset = dataset
        """Of which data."""
        self.looking = looking
        """Which search."""
        self.row = row
        """None when there is no such row."""


class SampleView(NearSearch):
    """The part of the Data screen that shows a row."""

    def __init__(self) -> None:
        super().__init__()
        self._row = 0
        self._ids = False
        self._shown: tuple[object, ...] = ()
        self._sample: Sample | None = None
        self._looking: object | None = None

    @property
    def _rows_shown(self) -> DataSet | None:
        """Rows that can be looked at: all of them, or those of the first look."""
        look = self.state.first_look
        return self.state.dataset or (look.dataset if look else None)

    @property
    def _limit(self) -> int:
        """Tokens behind which a row is cut off."""
        plan, dataset = self.state.plan, self.state.dataset
        if plan is None or dataset is None:
            return self.state.length
        from recommender.data.packing import limit_of

        return limit_of(dataset.profile, plan.config)

    def _show_sample(self, dataset: DataSet, length: int) -> None:
        self._row = min(self._row, max(0, len(dataset) - 1))
        wanted = (dataset, self._row, length)
        if wanted != self._shown:
            self._shown = wanted
            self.refresh_bindings()
            row = self._row
            background(
                self,
                lambda: self.post_message(Sampled(dataset, dataset.sample(row, length))),
                lambda error: self._sampled(Sampled(dataset, None, str(error))),
                group="sample",
            )

    @on(Sampled)
    def _sampled(self, message: Sampled) -> None:
        if message.dataset is not self._rows_shown:
            return
        self._sample = message.sample
        if message.sample is None:
            self.query_one("#sample-text", Static).update(clean(message.error))
            return
        if message.sample.row == self._row:
            self._draw_sample(message.sample)

    def _draw_sample(self, sample: Sample) -> None:
        dataset = self._rows_shown
        total = count(len(dataset)) if dataset else "?"
        box = self.query_one("#sample")
        line = f", line {sample.line}" if sample.line else ""
        box.border_title = f"sample {count(sample.row + 1)} of {total}{line}, {counted(sample.length, 'token')}"
        cut = sample.length - self._limit
        odd = dataset.findings(sample.row) if dataset else ()
        legend = clean(f"! {odd[0]}") if odd else "highlighted: the loss sees it"
        box.border_subtitle = legend + (f" · struck: cut ({count(cut)})" if cut > 0 else "")
        text = sample_content(sample.pieces, ids=self._ids, colour=not self.app.no_color and self.wizard.unicode)
        self.query_one("#sample-text", Static).update(text)
        self.query_one("#sample-scroll").scroll_home(animate=False)

    def _go_to_row(self, index: int) -> None:
        if (dataset := self._rows_shown) is not None:
            self._row = index % len(dataset)
            self._show_sample(dataset, self._limit)

    def action_sample(self, by: int) -> None:
        """Show the next or the previous row."""
        self._go_to_row(self._row + by)

    def action_random(self) -> None:
        """Show any row."""
        if (dataset := self._rows_shown) is not None:
            self._go_to_row(random.randrange(len(dataset)))

    def action_longest(self) -> None:
        """Show the row with most tokens."""
        if (dataset := self._rows_shown) is not None:
            self._look(dataset, lambda _stopped: dataset.longest(1)[0])

    def action_finding(self, by: int) -> None:
        """Show the next row that something is odd about, or the one before."""
        dataset, row, length = self.state.dataset, self._row, self._limit
        if dataset is not None:
            self._look(dataset, lambda stopped: dataset.next_finding(row, by, length, stopped))

    def _look(self, dataset: DataSet, search: Callable[[Callable[[], bool]], int | None]) -> None:
        """Look for a row in a thread; a million rows take it half a second."""
        self._looking = looking = object()
        self.set_timer(NOTED_SECONDS, lambda: self._note_looking(looking))

        def find() -> None:
            self.post_message(RowFound(dataset, looking, search(lambda: self._looking is not looking)))

        background(self, find, lambda error: self._not_found(looking, error), group="look")

    def _not_found(self, looking: object, error: WizardError) -> None:
        if looking is self._looking:
            self.stop_looking()
            self.notify(clean(str(error)), severity="error", timeout=10, markup=False)

    def _note_looking(self, looking: object) -> None:
        if self._looking is looking:
            self.query_one("#sample").border_subtitle = "looking through the rows … esc stops"

    @on(RowFound)
    def _row_found(self, message: RowFound) -> None:
        if message.looking is not self._looking or message.dataset is not self._rows_shown:
            return
        self.stop_looking()
        if message.row is None:
            self.notify("No row has a finding: nothing odd, nothing trained is cut.")
        else:
            self._go_to_row(message.row)

    def stop_looking(self) -> bool:
        """Look for a row no longer; whether one was looked for."""
        if self._looking is None:
            return False
        self._looking = None
        if self._sample is not None:
            self._draw_sample(self._sample)
        return True

    def action_ids(self) -> None:
        """Show each token's id, or stop to."""
        self._ids = not self._ids
        if self._sample is not None:
            self._draw_sample(self._sample)
