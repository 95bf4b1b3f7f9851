"""Step 5: the plan is proved before it is trusted, then it is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from tui.screens.base import StepScreen, error_rows
from tui.screens.check.checking import Checks
from tui.screens.check.start import Start
from tui.screens.check.text import check_picks, confirmation, verdict_row
from tui.screens.unready import lacking
from tui.terminal.sanitize import clean
from tui.widgets.pick_list import Pick, PickList
from tui.widgets.rows import Row, row
from tui.widgets.text import content, paragraph
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from presets.errors import WizardError
    from tui.wizard.state import WizardState


TICK_SECONDS = 1.0
"""Seconds between two updates of the time of a check that runs."""


class CheckScreen(StepScreen):
    """The list, its verdict, and the start."""

    STEP = Step.CHECK
    HELP = (
        "Everything that would fail at three in the morning is tried now: disk, memory, the model's files, torch and "
        "bitsandbytes on this device, and one whole training step on the longest real batch with one evaluation batch, "
        "its measured peak beside the predicted one. g starts as soon as nothing is ✗, after asking once. The run is a "
        "process of its own: closing this program or the connection does not touch it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", "start", "start"),
        Binding("g", "blocked", show=False),
        Binding("f5", "again", "check again"),
        Binding("escape", "cancel", "cancel", key_display="esc"),
    ]
    DEFAULT_CSS = """
    #checks { height: 1fr; }
    #check-list { height: 1fr; }
    #verdict-box { height: 3; }
    #verdict { height: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._checks = Checks(self, self._show_lines, self._leave, self._through)
        self._start = Start(self, self._checks, self._changed)
        self.parts = (self._checks, self._start)

    def body(self) -> ComposeResult:
        """The list and the line below it."""
        with Vertical(id="checks", classes="pane") as checks:
            checks.border_title = "checks"
            yield PickList(id="check-list", cursor_when_blurred=False)
        with Vertical(id="verdict-box", classes="pane") as box:
            box.border_title = "start"
            yield Static(id="verdict")

    def on_mount(self) -> None:
        """Put the focus on the list."""
        super().on_mount()
        self.query_one(PickList).focus()
        self.set_interval(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        """Count the seconds of a check that runs."""
        if self._checks.running and self.app.screen is self:
            self._show_lines()

    def show(self, state: WizardState) -> None:
        """Begin to check when there is a plan that was not checked yet."""
        plan, dataset = state.plan, state.dataset
        if plan is None or dataset is None or state.stale:
            self._checks.halt()
            self._list_says(lacking(state))
            return
        if plan.device.simulated:
            self._checks.halt()
            self._list_says(
                f"{plan.device.name} is simulated: nothing can be checked or started on it. "
                "ctrl+s in step 4 saves the plan."
            )
            return
        if not self._checks.are_of(plan):
            self._checks.begin(plan, dataset)
        self._show_lines()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only the keys that make sense now."""
        checks, start = self._checks, self._start
        if action == "cancel" and not (checks.running or start.asking):
            return False
        if action in {"again", "start"} and (
            checks.current is None or start.starting or (action == "again" and checks.running)
        ):
            return False
        if action in {"start", "blocked"} and checks.failed is (action == "start"):
            return False
        return super().check_action(action, parameters)

    def _list_says(self, text: str) -> None:
        self.query_one(PickList).show(lambda _width: [Pick("says", (row((clean(text), "label")),), fixed=True)])
        self.query_one("#verdict", Static).update("")

    def _leave(self) -> None:
        """Leave a start that is asked about, or waits for the list."""
        self._start.leave()
        self.refresh_bindings()

    def _through(self, error: WizardError | None) -> None:
        """Start where that waited for the list; say why, where it broke off."""
        self.refresh_bindings()
        self._show_lines()
        if error is not None:
            self._start.wanted = False
            self.query_one("#verdict", Static).update(paragraph(error_rows(error)[:1]))
            self.wizard.flow.set(errors=self.state.errors_with(error, Step.CHECK))
        elif self._start.wanted:
            self._start.launch()

    def _changed(self) -> None:
        self.refresh_bindings()
        self._show_verdict()

    def _show_lines(self) -> None:
        lines = self._checks.lines
        self.query_one(PickList).show(lambda width: check_picks(lines, width))
        self._show_verdict()

    def _show_verdict(self) -> None:
        if self._checks.current is None:
            return
        self.query_one("#verdict-box").set_class(self._start.asking, "-caution")
        self.query_one("#verdict", Static).update(content(self._verdict()))

    def _verdict(self) -> Row:
        checks, start = self._checks, self._start
        if start.asking and checks.current is not None:
            said = confirmation(checks.current.plan, checks.run_seconds)
            return row((said, "bright"), ("  g again or enter starts · esc leaves it", "label"))
        if start.wanted:
            return row(("starts when the list is through", "bright"), ("  esc leaves it", "label"))
        return verdict_row(checks.lines, running=checks.running, started=start.starting)

    def action_cancel(self) -> None:
        """Do not start; or skip the checks that are left."""
        if not self._start.leave():
            self._checks.leave_rest()
        self._changed()

    @on(PickList.Chosen)
    def _enter(self) -> None:
        if self._start.asking:
            self._start.action_start()
