"""The right half of the Data screen: any row as the model will see it, and the ways to get to one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.widgets import Static

from recommender.units import count, counted
from tui.screens.base import Part
from tui.terminal.sanitize import clean
from tui.terminal.task import Run, Task
from tui.widgets.sample import sample_content

if TYPE_CHECKING:
    from textual.binding import BindingType

    from presets.errors import WizardError
    from recommender.data.dataset import DataSet, Sample
    from tui.screens.base import StepScreen

NOTED_SECONDS = 0.2
"""Seconds after which it is said that rows are being looked through."""


class SampleView(Part):
    """One row as the model will see it, a part of the Data screen.

    Args:
        screen: The Data screen, with the panes `#sample`, `#sample-scroll` and `#sample-text`.

    Attributes:
        row: The row that is shown.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("z", "random", "random row"),
        Binding("L", "longest", "longest row"),
        Binding("x", "finding(1)", "next finding"),
        Binding("X", "finding(-1)", "previous finding", show=False),
        Binding("i", "ids", "token ids"),
    ]

    def __init__(self, screen: StepScreen) -> None:
        super().__init__(screen)
        self.row = 0
        self._ids = False
        self._shown: tuple[object, ...] = ()
        self._sample: Sample | None = None
        self._reading = Task(screen, "sample")
        self._looking = Task(screen, "look")

    @property
    def rows_shown(self) -> DataSet | None:
        """Rows that can be looked at: all of them, or those of the first look."""
        look = self.state.first_look
        return self.state.dataset or (look.dataset if look else None)

    @property
    def limit(self) -> int:
        """Tokens behind which a row is cut off."""
        plan, dataset = self.state.plan, self.state.dataset
        if plan is None or dataset is None:
            return self.state.length
        from recommender.data.packing import limit_of

        return limit_of(dataset.profile, plan.config)

    def show(self, dataset: DataSet, length: int) -> None:
        """Show the row again where the data or the limit is another one."""
        self.row = min(self.row, max(0, len(dataset) - 1))
        wanted = (dataset, self.row, length)
        if wanted != self._shown:
            self._shown = wanted
            self.screen.refresh_bindings()
            row = self.row
            self._reading.start(
                lambda _run: dataset.sample(row, length),
                lambda sample: self._sampled(dataset, sample),
                self._not_sampled,
            )

    def _sampled(self, dataset: DataSet, sample: Sample) -> None:
        if dataset is self.rows_shown:
            self._sample = sample
            self._draw_sample(sample)

    def _not_sampled(self, error: WizardError) -> None:
        self._sample = None
        self.screen.query_one("#sample-text", Static).update(clean(str(error)))

    def _draw_sample(self, sample: Sample) -> None:
        dataset = self.rows_shown
        total = count(len(dataset)) if dataset else "?"
        box = self.screen.query_one("#sample")
        line = f", line {sample.line}" if sample.line else ""
        box.border_title = f"sample {count(sample.row + 1)} of {total}{line}, {counted(sample.length, 'token')}"
        cut = sample.length - self.limit
        odd = dataset.findings(sample.row) if dataset else ()
        legend = clean(f"! {odd[0]}") if odd else "highlighted: the loss sees it"
        box.border_subtitle = legend + (f" · struck: cut ({count(cut)})" if cut > 0 else "")
        text = sample_content(sample.pieces, ids=self._ids, colour=not self.screen.app.no_color and self.wizard.unicode)
        self.screen.query_one("#sample-text", Static).update(text)
        self.screen.query_one("#sample-scroll").scroll_home(animate=False)

    def _go_to_row(self, index: int) -> None:
        if (dataset := self.rows_shown) is not None:
            self.row = index % len(dataset)
            self.show(dataset, self.limit)

    def action_sample(self, by: int) -> None:
        """Show the next or the previous row."""
        self._go_to_row(self.row + by)

    def action_random(self) -> None:
        """Show a random row."""
        if (dataset := self.rows_shown) is not None:
            self._go_to_row(random.randrange(len(dataset)))

    def action_longest(self) -> None:
        """Show the row with most tokens."""
        if (dataset := self.rows_shown) is not None:
            self._look(dataset, lambda _stopped: dataset.longest(1)[0])

    def action_finding(self, by: int) -> None:
        """Show the next or the previous row with a finding."""
        dataset, row, length = self.state.dataset, self.row, self.limit
        if dataset is not None:
            self._look(dataset, lambda stopped: dataset.next_finding(row, by, length, stopped))

    def _look(self, dataset: DataSet, search: Callable[[Callable[[], bool]], int | None]) -> None:
        """Look for a row in a thread; a million rows take it half a second."""
        run = self._looking.start(
            lambda run: search(run.stopped), lambda row: self._row_found(dataset, row), self._not_found
        )
        self.screen.set_timer(NOTED_SECONDS, lambda: self._note_looking(run))

    def _not_found(self, error: WizardError) -> None:
        self._draw_again()
        self.screen.notify(clean(str(error)), severity="error", timeout=10, markup=False)

    def _note_looking(self, run: Run) -> None:
        if self._looking.runs(run):
            self.screen.query_one("#sample").border_subtitle = "looking through the rows … esc stops"

    def _row_found(self, dataset: DataSet, row: int | None) -> None:
        self._draw_again()
        if dataset is not self.rows_shown:
            return
        if row is None:
            self.screen.notify("No row has a finding: nothing odd, nothing trained is cut.")
        else:
            self._go_to_row(row)

    def stop_looking(self) -> bool:
        """Look for a row no longer; whether one was looked for."""
        stopped = self._looking.cancel()
        if stopped:
            self._draw_again()
        return stopped

    def _draw_again(self) -> None:
        if self._sample is not None:
            self._draw_sample(self._sample)

    def action_ids(self) -> None:
        """Show or hide each token's id."""
        self._ids = not self._ids
        self._draw_again()
