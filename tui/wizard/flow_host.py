"""Interface of the application to the wizard's flow, which belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from tui.terminal.task import TaskHost

if TYPE_CHECKING:
    from recommender.model.spec import ModelSpec
    from tui.widgets.top_bar import Step
    from tui.wizard.services import Services
    from tui.wizard.state import WizardState


class FlowHost(TaskHost, Protocol):
    """The application as its flow sees it: the state, the services, the step that is seen, threads and questions."""

    state: WizardState
    services: Services

    @property
    def at(self) -> Step:
        """Step that is seen."""

    def ask_about_code(self, model: ModelSpec, answered: Callable[[bool | None], None]) -> None:
        """Ask whether a model's own Python code may run."""

    def notify(self, message: str, *, severity: Any, timeout: float, markup: bool) -> None:
        """Show a message for `timeout` seconds."""
