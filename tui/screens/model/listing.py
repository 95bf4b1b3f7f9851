"""The models that there are: the catalogue's at once, those of this disk when it has been looked through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tui.screens.base import Part
from tui.screens.model.text import Entry, entries
from tui.terminal.task import Run, Task
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from presets.errors import WizardError
    from tui.screens.base import StepScreen


class Listing(Part):
    """Finds the models, a part of the Model screen.

    Args:
        screen: The Model screen.
        on_found: Called whenever more was found.

    Attributes:
        found: The models found so far.
        complete: Whether these are all.
    """

    def __init__(self, screen: StepScreen, on_found: Callable[[], None]) -> None:
        super().__init__(screen)
        self.found: list[Entry] = []
        self.complete = False
        self._on_found = on_found
        self._task = Task(screen, "list")

    def start(self) -> None:
        """Look for models."""
        self._task.start(self._find, lambda found: self._take(found, complete=True), self._failed)

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Note models that cannot be trained here: reason by name."""
        if reasons:
            self.found = [replace(entry, trouble=reasons.get(entry.name, entry.trouble)) for entry in self.found]

    def _find(self, run: Run) -> list[Entry]:
        """In a thread: tell the catalogue's models, and return those with this disk's."""
        services = self.wizard.services
        catalogue = services.model_catalogue()
        run.deliver(self._take, entries((), catalogue))
        return entries(services.local_models(), catalogue)

    def _take(self, found: list[Entry], *, complete: bool = False) -> None:
        self.found, self.complete = found, complete
        self._on_found()

    def _failed(self, error: WizardError) -> None:
        self.complete = True
        self.wizard.flow.set(errors=self.state.errors_with(error, Step.MODEL))
        self._on_found()
