"""The second pass of the Data screen: near-identical rows, looked for in a thread, shown as it goes, and stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.message import Message

from presets.errors import WizardError
from recommender.units import counted, percent
from tui.clean import clean
from tui.screens.base import StepScreen
from tui.widgets.rows import Row, row
from tui.work import REPORT_SECONDS

if TYPE_CHECKING:
    from recommender.data.dataset import DataSet


class Looked(Message):
    """How far the search is, or how it ended."""

    def __init__(self, dataset: DataSet, done: int, error: str = "") -> None:
        super().__init__()
        self.dataset = dataset
        """Whose rows."""
        self.done = done
        """Rows looked at."""
        self.error = error
        """Why it failed."""


class NearSearch(StepScreen):
    """The part of the Data screen that knows of near-identical rows."""

    _searched: DataSet | None = None
    """Whose rows are looked at, or were."""
    _near_done: int | None = None
    """Rows looked at while the search runs."""
    _stop_near = False

    def near_rows(self, dataset: DataSet) -> list[Row]:
        """How far the search is, or what it found."""
        if self._searched is not dataset:
            return []
        if self._near_done is not None:
            share = percent(self._near_done / max(1, len(dataset)))
            return [row(("… ", "accent"), (f"looking for near-duplicates: {share} · D stops", "label"), indent=2)]
        if not dataset.near:
            return [row(("✓ ", "good"), "no near-duplicates", indent=2)]
        found = counted(len(dataset.near), "row")
        are = "is" if len(dataset.near) == 1 else "are"
        return [
            row(("! ", "caution"), f"{found} {are} nearly the same as an earlier one: x goes through them", indent=2)
        ]

    def action_near(self) -> None:
        """Look for near-identical rows, or stop looking."""
        dataset = self.state.dataset
        if dataset is None:
            return
        if self._near_done is not None and self._searched is dataset:
            self._stop_near = True
            return
        self._searched, self._near_done, self._stop_near = dataset, 0, False
        self._follow()
        self._look_for_near(dataset)

    @work(thread=True, exclusive=True, group="near", exit_on_error=False)
    def _look_for_near(self, dataset: DataSet) -> None:
        from time import monotonic

        from recommender.data.gather import Cancelled
        from recommender.data.near import near_duplicates

        told = monotonic()

        def progress(done: int, _total: int) -> None:
            nonlocal told
            if monotonic() - told >= REPORT_SECONDS:
                told = monotonic()
                self.post_message(Looked(dataset, done))

        try:
            dataset.near = near_duplicates(dataset, progress, lambda: self._stop_near or self._searched is not dataset)
            self.post_message(Looked(dataset, -1))
        except Cancelled:
            self.post_message(Looked(dataset, -2))
        except WizardError as error:
            self.post_message(Looked(dataset, -2, str(error)))

    @on(Looked)
    def _looked(self, message: Looked) -> None:
        if message.dataset is not self._searched:
            return
        self._near_done = message.done if message.done >= 0 else None
        if message.done == -2:
            self._searched = None
            self.notify(clean(message.error) or "Stopped looking for near-duplicates.", markup=False)
        self._follow()
