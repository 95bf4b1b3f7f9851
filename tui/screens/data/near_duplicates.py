"""The second pass of the Data screen: near-identical rows, looked for in a thread, shown as it goes, and stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from recommender.units import percent
from tui.screens.base import Part
from tui.terminal.sanitize import clean
from tui.terminal.task import Run, Task
from tui.widgets.rows import Row, row
from tui.widgets.severity import mark

if TYPE_CHECKING:
    from textual.binding import BindingType

    from presets.errors import WizardError
    from recommender.data.dataset import DataSet
    from recommender.data.profile.profile import NearRows
    from tui.screens.base import StepScreen


class NearSearch(Part):
    """The search for near-identical rows, a part of the Data screen.

    Args:
        screen: The Data screen; it is shown anew when something has changed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("D", "near", "near-duplicates")]

    def __init__(self, screen: StepScreen) -> None:
        super().__init__(screen)
        self._task = Task(screen, "near")
        self._searched: DataSet | None = None
        self._share = 0.0

    def rows(self, dataset: DataSet) -> list[Row]:
        """Rows of the search's progress, or of its result."""
        if self._searched is not dataset:
            return []
        if self._task.running:
            share = percent(self._share)
            return [row(("… ", "accent"), (f"looking for near-duplicates: {share} · D stops", "label"), indent=2)]
        found = dataset.near.warnings
        if not found:
            return [row(("✓ ", "good"), "no near-duplicates", indent=2)]
        walked = ": x goes through them" if dataset.near.earlier or dataset.near.held_out else ""
        *others, last = [row(mark(warning), warning.text, indent=2) for warning in found]
        return [*others, Row((*last.parts, (walked, "plain")), indent=2)]

    def action_near(self) -> None:
        """Look for near-identical rows, or stop looking."""
        dataset = self.state.dataset
        if dataset is None:
            return
        if self._task.running and self._searched is dataset:
            self._task.cancel()
            self._searched = None
            self.screen.notify("Stopped looking for near-duplicates.")
            self.screen.follow()
            return
        self._searched, self._share = dataset, 0.0
        fraction, seed = self._split_of()
        self._task.start(
            lambda run: _search(run, dataset, fraction, seed),
            lambda found: self._found(dataset, found),
            self._not_searched,
            progress=self._at,
        )
        self.screen.follow()

    def _split_of(self) -> tuple[float, int]:
        """Share of rows that the run would hold out, and the seed by which it chooses them."""
        from recommender.config.schema import Data, Training

        if (plan := self.state.plan) is not None:
            return plan.config.data.eval_fraction, plan.config.training.seed
        given = {
            **self.state.draft.values,
            **{f"data.{key}": value for key, value in self.state.data.items()},
        }
        return (
            float(given.get("data.eval_fraction", Data().eval_fraction)),
            int(given.get("training.seed", Training().seed)),
        )

    def _at(self, done: int, total: int) -> None:
        self._share = done / max(1, total)
        self.screen.follow()

    def _found(self, dataset: DataSet, found: NearRows) -> None:
        dataset.near = found
        self.screen.follow()

    def _not_searched(self, error: WizardError) -> None:
        self._searched = None
        self.screen.notify(clean(str(error)), severity="error", timeout=10, markup=False)
        self.screen.follow()


def _search(run: Run, dataset: DataSet, fraction: float, seed: int) -> NearRows:
    """In a thread: the near-identical rows; once it is stopped nobody listens to how it ends."""
    from recommender.data.near_duplicates import near_duplicates

    return near_duplicates(dataset, run.progress, run.stopped, fraction=fraction, seed=seed)
