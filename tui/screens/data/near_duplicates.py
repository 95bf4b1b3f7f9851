"""The second pass of the Data screen: near-identical rows, looked for in a thread, shown as it goes, and stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recommender.units import percent
from recommender.warning import texts
from tui.screens.base import StepScreen
from tui.terminal.sanitize import clean
from tui.terminal.task import Run, Task
from tui.widgets.rows import Row, row

if TYPE_CHECKING:
    from presets.errors import WizardError
    from recommender.data.dataset import DataSet
    from recommender.data.profile.profile import NearRows


class NearSearch(StepScreen):
    """The part of the Data screen that knows of near-identical rows."""

    _searched: DataSet | None = None
    """Whose rows are looked at, or were."""
    _near_done = 0.0
    """Share of the rows looked at while the search runs."""

    def __init__(self) -> None:
        super().__init__()
        self._near = Task(self, "near")

    def near_rows(self, dataset: DataSet) -> list[Row]:
        """How far the search is, or what it found."""
        if self._searched is not dataset:
            return []
        if self._near.running:
            share = percent(self._near_done)
            return [row(("… ", "accent"), (f"looking for near-duplicates: {share} · D stops", "label"), indent=2)]
        said = texts(dataset.near.warnings)
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
        if self._near.running and self._searched is dataset:
            self._near.cancel()
            self._searched = None
            self.notify("Stopped looking for near-duplicates.")
            self._follow()
            return
        self._searched, self._near_done = dataset, 0.0
        fraction, seed = self._split_of()
        self._near.start(
            lambda run: _search(run, dataset, fraction, seed),
            lambda found: self._found_near(dataset, found),
            self._not_searched,
            progress=self._near_at,
        )
        self._follow()

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

    def _near_at(self, done: int, total: int) -> None:
        self._near_done = done / max(1, total)
        self._follow()

    def _found_near(self, dataset: DataSet, found: NearRows) -> None:
        dataset.near = found
        self._follow()

    def _not_searched(self, error: WizardError) -> None:
        self._searched = None
        self.notify(clean(str(error)), severity="error", timeout=10, markup=False)
        self._follow()


def _search(run: Run, dataset: DataSet, fraction: float, seed: int) -> NearRows:
    """In a thread: the near-identical rows; once it is stopped nobody listens to how it ends."""
    from recommender.data.near_duplicates import near_duplicates

    return near_duplicates(dataset, run.progress, run.stopped, fraction=fraction, seed=seed)
