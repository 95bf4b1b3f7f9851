"""The second pass of the Data screen: near-identical rows, looked for in a thread, shown as it goes, and stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.message import Message

from recommender.units import percent
from tui.screens.base import StepScreen
from tui.terminal.background import background
from tui.terminal.sanitize import clean
from tui.widgets.rows import Row, row
from tui.wizard.work import REPORT_SECONDS

if TYPE_CHECKING:
    from recommender.data.dataset import DataSet


class Looked(Message):
    """How far the search is, or how it ended."""

    def __init__(self, dataset: DataSet, done: float | None, *, found: bool = False, error: str = "") -> None:
        super().__init__()
        self.dataset = dataset
        """Whose rows."""
        self.done = done
        """Share of the rows looked at; None when it has ended."""
        self.found = found
        """Whether it has come to its end."""
        self.error = error
        """Why it failed."""


class NearSearch(StepScreen):
    """The part of the Data screen that knows of near-identical rows."""

    _searched: DataSet | None = None
    """Whose rows are looked at, or were."""
    _near_done: float | None = None
    """Share of the rows looked at while the search runs."""
    _stop_near = False

    def near_rows(self, dataset: DataSet) -> list[Row]:
        """How far the search is, or what it found."""
        if self._searched is not dataset:
            return []
        if self._near_done is not None:
            share = percent(self._near_done)
            return [row(("… ", "accent"), (f"looking for near-duplicates: {share} · D stops", "label"), indent=2)]
        said = dataset.near.warnings
        if not said:
            return [row(("✓ ", "good"), "no near-duplicates", indent=2)]
        walked = ": x goes through them" if dataset.near.earlier or dataset.near.held_out else ""
        *others, last = said
        return [row(("! ", "caution"), warning, indent=2) for warning in (*others, last + walked)]

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
        fraction, seed = self._split_of()
        background(
            self,
            lambda: self._look_for_near(dataset, fraction, seed),
            lambda error: self._looked(Looked(dataset, None, error=str(error))),
            group="near",
        )

    def _split_of(self) -> tuple[float, int]:
        """Share of rows that the run would hold out, and the seed by which it chooses them."""
        from recommender.config.schema import Data, Training

        if (plan := self.state.plan) is not None:
            return plan.config.data.eval_fraction, plan.config.training.seed
        given = {**self.state.overrides, **{f"data.{key}": value for key, value in self.state.data.items()}}
        return (
            float(given.get("data.eval_fraction", Data().eval_fraction)),
            int(given.get("training.seed", Training().seed)),
        )

    def _look_for_near(self, dataset: DataSet, fraction: float, seed: int) -> None:
        from time import monotonic

        from recommender.data.near_duplicates import near_duplicates
        from recommender.data.profile.collect import Cancelled

        told = monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            if monotonic() - told >= REPORT_SECONDS:
                told = monotonic()
                self.post_message(Looked(dataset, done / max(1, total)))

        try:
            dataset.near = near_duplicates(
                dataset,
                progress,
                lambda: self._stop_near or self._searched is not dataset,
                fraction=fraction,
                seed=seed,
            )
            self.post_message(Looked(dataset, None, found=True))
        except Cancelled:
            self.post_message(Looked(dataset, None))

    @on(Looked)
    def _looked(self, message: Looked) -> None:
        if message.dataset is not self._searched:
            return
        self._near_done = message.done
        if message.error:
            self._searched = None
            self.notify(clean(message.error), severity="error", timeout=10, markup=False)
        elif message.done is None and not message.found:
            self._searched = None
            self.notify("Stopped looking for near-duplicates.")
        self._follow()
