"""Every run with its state: watch, resume, stop or remove one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.markup import escape
from textual.screen import Screen
from textual.widgets import Static

from presets.errors import WizardError
from tui.screens.runs.text import Line, headings, lines_of, model_and_data
from tui.screens.train.stop import StopScreen
from tui.screens.yes_no import YesNo, about_command
from tui.terminal.sanitize import clean
from tui.terminal.task import Failures, Run, Task
from tui.widgets.key_bar import KeyBar
from tui.widgets.pick_list import Pick, PickList
from tui.widgets.rows import row
from tui.widgets.too_small import TooSmall, is_too_small
from tui.widgets.top_bar import TopBar

if TYPE_CHECKING:
    from textual import events

    from trainer.history.listing import RunSummary
    from trainer.run.events import Command

POLL_SECONDS = 2.0


@runtime_checkable
class ShowsRuns(Protocol):
    """An application that can go to a run."""

    async def show_run(self, run: Path) -> None:
        """Watch a run."""


class RunList(PickList):
    """The runs; enter watches one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "watch")]


class RunsScreen(Screen[None]):
    """The list of runs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "resume", "resume"),
        Binding("s", "stop", "stop"),
        Binding("delete,backspace", "remove", "remove", key_display="del"),
        Binding("escape", "app.back", "back"),
        Binding("question_mark", "help", "help", key_display="?"),
    ]
    DEFAULT_CSS = """
    RunsScreen { layers: default cover; }
    RunsScreen.-tiny TooSmall { display: block; }
    RunsScreen .pane { height: 1fr; }
    RunsScreen PickList { height: 1fr; }
    RunsScreen #columns { height: 1; color: $quiet; padding-left: 2; }
    """

    def __init__(
        self, runs_dir: Path, *, clock: Callable[[], float] = time.time, poll_seconds: float = POLL_SECONDS
    ) -> None:
        """Make the screen.

        Args:
            runs_dir: Folder of all runs.
            clock: Unix seconds; injected by tests.
            poll_seconds: Between two looks at the folder.
        """
        super().__init__()
        self._runs_dir = runs_dir
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._lines: tuple[Line, ...] = ()
        self._problem = ""
        self._told: dict[Path, tuple[str, str]] = {}
        self._looking = Task(self, "look")

    def compose(self) -> ComposeResult:
        """A heading over the list."""
        yield TopBar()
        with Vertical(classes="pane") as pane:
            pane.border_title = "runs"
            yield Static(id="columns", markup=False)
            yield RunList(self._picks, id="runs")
        yield KeyBar()
        yield TooSmall()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(PickList).focus()
        self._looking.start(self._look, lambda _: None, self._unreadable)

    def on_unmount(self) -> None:
        """Let the looking thread end at once."""
        self._looking.cancel()

    def on_resize(self, event: events.Resize) -> None:
        """Line the columns up with the list."""
        self.set_class(is_too_small(*event.size), "-tiny")
        self.query_one("#columns", Static).update(headings(event.size.width - 6))

    def _unreadable(self, error: WizardError) -> None:
        self._listed((), error.message)

    def _look(self, run: Run) -> None:
        """In a thread: look again and again, whatever went wrong the last time."""
        from trainer.history.listing import list_runs

        failures = Failures()
        seen: tuple[tuple[Line, ...], str] | None = None
        while not run.stopped():
            lines: tuple[Line, ...] = ()
            problem = None
            try:
                lines = tuple(Line(one, *self._of_config(one.path)) for one in list_runs(self._runs_dir))
            except Exception as error:
                problem = error
            told = failures.take(problem)
            problem_text = told.message if told else ""
            if (lines, problem_text) != seen:
                seen = (lines, problem_text)
                run.deliver(self._listed, lines, problem_text)
            if run.wait(self._poll_seconds):
                return

    def _of_config(self, path: Path) -> tuple[str, str]:
        """Model and data of a run; read once, for a configuration does not change."""
        if path not in self._told:
            self._told[path] = model_and_data(path)
        return self._told[path]

    def _listed(self, lines: tuple[Line, ...], problem: str) -> None:
        self._lines, self._problem = lines, problem
        pane = self.query_one(".pane")
        pane.border_subtitle = escape(f"enter watches · {len(self._lines)} in {clean(str(self._runs_dir))}")
        self.query_one(PickList).show(self._picks)
        self.refresh_bindings()

    @on(PickList.Moved)
    def _moved(self) -> None:
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer to stop a run that goes; to remove one that rests, and to resume it unless it has finished."""
        if action not in ("resume", "stop", "remove"):
            return True
        run = self._chosen if self.is_mounted else None
        if run is None:
            return False
        return run.alive if action == "stop" else not run.alive and (action == "remove" or run.status != "finished")

    def _picks(self, width: int) -> Sequence[Pick]:
        if not self._lines:
            nothing = row(("no runs yet: `lora-wizard train CONFIG` or the wizard starts one", "quiet"))
            # Where the details are stands at the end: it must be seen.
            said = tuple(row((line, "bad")) for line in wrap(clean(self._problem), max(20, width - 2)))
            return (Pick("", said or (nothing,), fixed=True),)
        now = self._clock()
        return [Pick(line.run.id, lines_of(line, width, now)) for line in self._lines]

    @property
    def _chosen(self) -> RunSummary | None:
        current = self.query_one(PickList).current
        return next((line.run for line in self._lines if current and line.run.id == current.key), None)

    @on(PickList.Chosen)
    def _watch(self) -> None:
        """Go to the dashboard of the run."""
        app = self.app
        if self._chosen and isinstance(app, ShowsRuns):
            # The application does it: this screen may be removed meanwhile, and must not wait for that itself.
            app.call_later(app.show_run, self._chosen.path)

    def action_resume(self) -> None:
        """Go on from the last checkpoint, after asking."""
        run = self._chosen
        if run is None:
            return
        question = f"Resume {clean(run.id)} from its last checkpoint?"
        self.app.push_screen(YesNo(question, "resume"), lambda yes: self._do(yes, self._resume, run.path))

    def _resume(self, path: Path, *, allow_on_end: bool = False) -> None:
        from trainer.process.consent import ConsentError
        from trainer.process.launch import resume_run

        try:
            resumed = resume_run(path, allow_on_end=allow_on_end, log=self._say)
        except ConsentError as unagreed:
            self.call_later(self._ask_about_command, path, unagreed.command)
            return
        self._say(f"{resumed.name} goes on")

    def _ask_about_command(self, path: Path, command: str) -> None:
        """Go on with a run once its command is agreed to."""

        def answered(yes: bool | None) -> None:
            from trainer.process.consent import store_consent

            if yes:
                store_consent(command)
            self._do(yes, partial(self._resume, allow_on_end=True), path)

        self.app.push_screen(about_command(command), answered)

    def action_stop(self) -> None:
        """Save and stop, stop, or keep going."""
        run = self._chosen
        if run is None:
            return
        question = StopScreen(clean(run.id), run.step, saved_step(run.path))
        self.app.push_screen(question, lambda answer: self._ask(run.path, answer))

    def _ask(self, path: Path, answer: Command | None) -> None:
        from trainer.run.commands import request

        if answer is None:
            return
        try:
            request(path, answer)
        except WizardError as error:
            self._notify(str(error), bad=True)

    def action_remove(self) -> None:
        """Remove the run's folder, after asking."""
        run = self._chosen
        if run is None:
            return
        question = f"Remove {clean(run.id)} with its checkpoints and its adapter? This cannot be undone."
        self.app.push_screen(
            YesNo(question, "remove", enter_says_yes=False), lambda yes: self._do(yes, self._remove, run.path)
        )

    def _remove(self, path: Path) -> None:
        from trainer.process.removal import remove_run

        self._say(remove_run(path).sentence())

    def _do(self, yes: bool | None, work: Callable[[Path], None], path: Path) -> None:
        """Do the work agreed to, in a thread; its end is told also where this screen was left meanwhile."""
        if yes:
            failed = partial(self._notify, bad=True)
            Task(self.app, "do").start(lambda _run: work(path), lambda _: None, lambda error: failed(str(error)))

    def _say(self, text: str) -> None:
        self.app.call_later(self._notify, text, bad=False)

    def _notify(self, text: str, *, bad: bool) -> None:
        self.app.notify(clean(text), severity="error" if bad else "information", markup=False)

    def action_help(self) -> None:
        """Explain the screen and its keys."""
        from tui.screens.help import HelpScreen, help_for

        words = row("Every run of this machine's folder, newest first. A run goes on without any dashboard.")
        self.app.push_screen(HelpScreen([words, row(), *help_for(self)]))


def saved_step(path: Path) -> int | None:
    """The step of a run's newest complete checkpoint."""
    from trainer.run.checkpoints import complete_checkpoints
    from trainer.run.folder import RunFolder

    numbers = [found.name.rsplit("-", 1)[-1] for found in complete_checkpoints(RunFolder(path))]
    return max((int(number) for number in numbers if number.isdigit()), default=None)
