"""The start of a checked plan: asked about once, agreed to where it runs a command, made when the list is through."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tui.screens.base import Part
from tui.screens.yes_no import about_command
from tui.terminal.task import Task
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from pathlib import Path

    from presets.errors import WizardError
    from tui.screens.base import StepScreen
    from tui.screens.check.checking import Checks


class Start(Part):
    """The start, a part of the Check screen.

    Args:
        screen: The Check screen.
        checks: The list that has to be through.
        on_change: Called whenever an attribute is another.

    Attributes:
        asking: Whether the question is open if it is to be started.
        wanted: Whether it starts as soon as the list is through.
        starting: Whether it is being started.
    """

    def __init__(self, screen: StepScreen, checks: Checks, on_change: Callable[[], None]) -> None:
        super().__init__(screen)
        self.asking = self.wanted = self.starting = False
        self._checks, self._on_change = checks, on_change
        self._task = Task(screen, "launch")

    def leave(self) -> bool:
        """Leave the question, or the start that waits for the list; return whether there was one."""
        there = self.asking or self.wanted
        self.asking = self.wanted = False
        return there

    def action_start(self) -> None:
        """Start the run, after asking once; while the checks run, as soon as they are through."""
        if self._checks.current is None or self.starting:
            return
        if self._checks.incomplete:
            self.screen.notify("Not all was checked: f5 checks again.", severity="warning", timeout=4)
        elif not self.asking:
            self.asking = True
            # What was told before would lie over the question.
            self.screen.app.clear_notifications()
        else:
            self._confirmed(self._checks.current.plan.config.run.on_end)
        self._on_change()

    def action_blocked(self) -> None:
        """Answer what a check asks; else say why nothing can be started."""
        if (question := self._checks.question) is not None:
            self._checks.ask(question)
            return
        self.screen.notify("Something is ✗: mend it first, then f5 checks again.", severity="warning", timeout=4)

    def launch(self) -> None:
        """Start the run."""
        current = self._checks.current
        if current is None:
            return
        self.starting, self.wanted = True, False
        services, machine = self.wizard.services, self.state.machine
        plan = current.after or current.plan
        self._task.start(lambda _run: services.launch(plan, machine), self._started, self._not_started)
        self._on_change()

    def _confirmed(self, command: str | None) -> None:
        self.asking = False
        if command and not self.wizard.services.agreed(command):
            self.screen.app.push_screen(about_command(command), lambda yes: self._agreed(yes, command))
        else:
            self._go()

    def _agreed(self, yes: bool | None, command: str) -> None:
        """Start once the command at the run's end is agreed to; without the yes nothing starts."""
        if yes:
            self.wizard.services.keep_agreed(command)
            self._go()
        else:
            notice = "Not started: `on_end` in step 4 names that command."
            self.screen.notify(notice, severity="warning", timeout=4)
        self._on_change()

    def _go(self) -> None:
        if self._checks.running:
            self.wanted = True
        else:
            self.launch()

    def _not_started(self, error: WizardError) -> None:
        self.starting = False
        self.wizard.flow.set(errors=self.state.errors_with(error, Step.CHECK))
        self._on_change()

    async def _started(self, run: Path) -> None:
        self.starting = False
        current = self._checks.current
        kept = current.plan.overrides if current else self.state.kept
        self.wizard.flow.set(errors=self.state.errors_with(None, Step.CHECK), kept=kept)
        # The next start of this plan is checked again: the device is busy now.
        self._checks.current = None
        self.screen.refresh_bindings()
        await self.wizard.show_run(run)
