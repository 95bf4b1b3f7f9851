"""What follows from what: the draft, and the steps that derive the rest from it, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.widgets.top_bar import Step
from tui.wizard.steps.data import DataStep
from tui.wizard.steps.machine import MachineStep
from tui.wizard.steps.model import ModelStep
from tui.wizard.steps.plan import PlanStep
from tui.wizard.steps.store import Store

if TYPE_CHECKING:
    from typing import Unpack

    from tui.wizard.flow_host import FlowHost
    from tui.wizard.state import Changes


class Flow:
    """The wizard's state with the work that derives it from the draft; done in threads, so no key waits.

    Attributes:
        machine: The machine and its devices.
        model: The model.
        data: The rows.
        plan: The plan, and edits of the draft.
    """

    def __init__(self, app: FlowHost) -> None:
        self._app = app
        self._store = Store(app, self.advance)
        self.machine, self.model = MachineStep(self._store), ModelStep(self._store)
        self.data, self.plan = DataStep(self._store), PlanStep(self._store)

    def advance(self) -> None:
        """Start what the draft lacks: its rows, then its plan where that is looked at or takes no search.

        A model's facts that take time to work out, such as those of a child process, belong before the rows.
        """
        state = self._app.state
        if {Step.MODEL, Step.DATA} & set(state.working) or self.data.derive():
            return
        looked_at = self._app.at is Step.PLAN or (state.plan is not None and not state.stale)
        if looked_at and not state.failed:
            self.plan.derive()

    def set(self, **changes: Unpack[Changes]) -> None:
        """Replace fields of the state that do not follow from the draft."""
        self._store.set(**changes)

    def stop(self, step: Step) -> bool:
        """Cancel the work for a step; return whether there was some."""
        return self._store.stop(step)

    def set_price(self, price: float | None) -> None:
        """Say what an hour costs, and keep it.

        Raises:
            InputError: it cannot be kept.
        """
        self._app.services.keep_price(price)
        self.set(price=price)
