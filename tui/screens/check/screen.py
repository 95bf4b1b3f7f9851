"""Step 5: the plan is proved before it is trusted, then it is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from presets.errors import WizardError
from tui.screens.base import StepScreen, error_rows
from tui.screens.check.text import check_picks, confirmation, verdict_row
from tui.screens.unready import lacking
from tui.screens.yes_no import about_command
from tui.terminal.sanitize import clean
from tui.terminal.task import Run, Task
from tui.widgets.pick_list import Pick, PickList
from tui.widgets.rows import row
from tui.widgets.text import content, paragraph
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from presets.questions import Question
    from recommender.data.dataset import DataSet
    from recommender.plan.types import Plan
    from trainer.preflight.line import CheckLine
    from tui.wizard.state import WizardState


TICK_SECONDS = 1.0
"""Seconds between two updates of the time of a check that runs."""


class Checking:
    """One pass through the list.

    Attributes:
        plan: What is checked, as it was priced before.
        after: The same plan, priced by its measured step; None as long as there is none.
        lines: By key, in the order in which they came.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.after: Plan | None = None
        self.lines: dict[str, CheckLine] = {}
        self._began: dict[str, float] = {}

    def take(self, line: CheckLine) -> None:
        """Note how a line stands now."""
        if line.status == "running" and line.key not in self._began:
            self._began[line.key] = monotonic()
        self.lines[line.key] = line

    def timed(self) -> list[CheckLine]:
        """The lines; one that runs with its whole seconds so far."""
        now = monotonic()
        return [
            replace(line, seconds=float(int(now - self._began[line.key]))) if line.status == "running" else line
            for line in self.lines.values()
        ]


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
        Binding("g", "mend", show=False),
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
        self._checking: Checking | None = None
        self._wanted = False
        self._asking = False
        self._starting = False
        self._list, self._launching = Task(self, "check"), Task(self, "launch")

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
        if self._list.running and self.app.screen is self:
            self._show_lines()

    def show(self, state: WizardState) -> None:
        """Begin to check when there is a plan that was not checked yet."""
        plan, dataset = state.plan, state.dataset
        if plan is None or dataset is None or state.stale:
            self._halt()
            self._list_says(lacking(state))
            return
        if plan.device.simulated:
            self._halt()
            self._list_says(
                f"{plan.device.name} is simulated: nothing can be checked or started on it. "
                "ctrl+s in step 4 saves the plan."
            )
            return
        if self._checking is None or (plan is not self._checking.plan and plan is not self._checking.after):
            self._begin(plan, dataset)
        self._show_lines()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only the keys that make sense now."""
        running = self._list.running
        if action == "cancel" and not (running or self._asking):
            return False
        if action in {"again", "start"} and (
            self._checking is None or self._starting or (action == "again" and running)
        ):
            return False
        if action in {"start", "mend"} and self._failed is (action == "start"):
            return False
        return super().check_action(action, parameters)

    def _list_says(self, text: str) -> None:
        self.query_one(PickList).show(lambda _width: [Pick("says", (row((clean(text), "label")),), fixed=True)])
        self.query_one("#verdict", Static).update("")

    # Checking

    def _begin(self, plan: Plan, dataset: DataSet) -> None:
        self._halt()
        self._wanted = self._asking = False
        checking, services = Checking(plan), self.wizard.services
        self._checking = checking

        def work(run: Run) -> None:
            for line in services.checks(plan, dataset, run.stopped):
                run.deliver(self._checked, checking, line)

        self._list.start(work, lambda _: self._ended(checking), self._not_ended)
        self.refresh_bindings()

    def _halt(self) -> None:
        self._list.cancel()
        self._checking = None
        self.refresh_bindings()

    def _checked(self, checking: Checking, line: CheckLine) -> None:
        checking.take(line)
        if line.status == "fail":
            self._wanted = self._asking = False
            self.refresh_bindings()
        if line.question is not None:
            self._ask(line.question)
        self._show_lines()

    def _ask(self, question: Question) -> None:
        """Ask what a check cannot decide; the answer is an edit of the plan, which is then checked again."""
        from tui.screens.question import QuestionPopup

        def answered(number: int | None) -> None:
            if number is not None:
                self.wizard.flow.plan.edit(question.choices[number].set)

        if self.app.screen is self:
            self.app.push_screen(QuestionPopup(question), answered)

    def _ended(self, checking: Checking) -> None:
        self.refresh_bindings()
        self._show_lines()
        self._reprice(checking)
        if self._wanted:
            self._launch()

    def _not_ended(self, error: WizardError) -> None:
        self.refresh_bindings()
        self._show_lines()
        self._wanted = False
        self.query_one("#verdict", Static).update(paragraph(error_rows(error)[:1]))
        self.wizard.flow.set(errors=self.state.errors_with(error, Step.CHECK))

    def _reprice(self, checking: Checking) -> None:
        """The plan with its measured memory and time, on every screen."""
        plan, services = checking.plan, self.wizard.services
        if self._run_seconds is None or self.state.plan is not plan or self.state.stale:
            return
        checking.after = services.with_estimate(plan, services.price(plan, {}))
        self.wizard.flow.plan.refine(checking.after)

    @property
    def _run_seconds(self) -> float | None:
        """Seconds that the run takes at the measured pace."""
        return next((line.run_seconds for line in self._lines() if line.run_seconds is not None), None)

    @property
    def _failed(self) -> bool:
        return any(line.status == "fail" for line in self._lines())

    def _lines(self) -> list[CheckLine]:
        return self._checking.timed() if self._checking else []

    def _show_lines(self) -> None:
        lines = self._lines()
        self.query_one(PickList).show(lambda width: check_picks(lines, width))
        self._show_verdict()

    def _show_verdict(self) -> None:
        checking = self._checking
        if checking is None:
            return
        box, says = self.query_one("#verdict-box"), self.query_one("#verdict", Static)
        box.set_class(self._asking, "-caution")
        if self._asking:
            says.update(
                content(
                    row(
                        (confirmation(checking.plan, self._run_seconds), "bright"),
                        ("  g again or enter starts · esc leaves it", "label"),
                    )
                )
            )
        elif self._wanted:
            says.update(content(row(("starts when the list is through", "bright"), ("  esc leaves it", "label"))))
        else:
            says.update(content(verdict_row(self._lines(), running=self._list.running, started=self._starting)))

    # Starting

    def action_start(self) -> None:
        """Ask once, then start: at once when the list is through, else as soon as it is."""
        checking = self._checking
        if checking is None or self._starting:
            return
        if not self._list.running and any(line.status == "skipped" for line in self._lines()):
            self.notify("Not all was checked: f5 checks again.", severity="warning", timeout=4)
        elif not self._asking:
            self._asking = True
            # What was told before would lie over the question.
            self.app.clear_notifications()
        else:
            self._confirmed()
        self.refresh_bindings()
        self._show_verdict()

    def action_mend(self) -> None:
        """Ask again what was left open; else say why nothing starts."""
        question = next((line.question for line in self._lines() if line.question is not None), None)
        if question is not None:
            self._ask(question)
            return
        self.notify("Something is ✗: mend it first, then f5 checks again.", severity="warning", timeout=4)

    def _confirmed(self) -> None:
        self._asking = False
        command = self._checking.plan.config.run.on_end if self._checking else None
        if command and not self.wizard.services.agreed(command):
            self.app.push_screen(about_command(command), lambda yes: self._agreed(yes, command))
        else:
            self._go()

    def _agreed(self, yes: bool | None, command: str) -> None:
        """Start once the command at the run's end is agreed to; without the yes nothing starts."""
        if yes:
            self.wizard.services.keep_agreed(command)
            self._go()
        else:
            self.notify("Not started: `on_end` in step 4 names that command.", severity="warning", timeout=4)
        self.refresh_bindings()
        self._show_verdict()

    def _go(self) -> None:
        if self._list.running:
            self._wanted = True
        else:
            self._launch()

    def _launch(self) -> None:
        checking = self._checking
        if checking is None:
            return
        self._starting, self._wanted = True, False
        services, machine = self.wizard.services, self.state.machine

        self._launching.start(
            lambda _run: services.launch(checking.after or checking.plan, machine), self._started, self._not_started
        )
        self.refresh_bindings()
        self._show_verdict()

    def _not_started(self, error: WizardError) -> None:
        self._starting = False
        self.refresh_bindings()
        self.wizard.flow.set(errors=self.state.errors_with(error, Step.CHECK))
        self._show_verdict()

    async def _started(self, run: Path) -> None:
        self._starting = False
        self.refresh_bindings()
        kept = self._checking.plan.overrides if self._checking else self.state.kept
        self.wizard.flow.set(errors=self.state.errors_with(None, Step.CHECK), kept=kept)
        # The next start of this plan is checked again: the device is busy now.
        self._checking = None
        await self.wizard.show_run(run)

    def action_again(self) -> None:
        """Go through the list again."""
        plan, dataset = self.state.plan, self.state.dataset
        if plan is not None and dataset is not None and not (self.state.stale or plan.device.simulated):
            self.wizard.flow.set(errors=self.state.errors_with(None, Step.CHECK))
            self._begin(plan, dataset)
            self._show_lines()

    def action_cancel(self) -> None:
        """Leave the question, or the rest of the list."""
        if self._asking or self._wanted:
            self._asking = self._wanted = False
        else:
            # The rest is told as skipped.
            self._list.ask_to_end()
        self.refresh_bindings()
        self._show_verdict()

    @on(PickList.Chosen)
    def _enter(self) -> None:
        if self._asking:
            self.action_start()
