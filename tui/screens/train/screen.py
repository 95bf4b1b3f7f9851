"""Step 6, and `lora-wizard watch`: a run as its folder tells it, live, and its summary once it has ended.

The screen only reads. A thread looks at the folder, at most a few times a second, and posts one immutable snapshot;
every pane compares what it would show with what it shows and repaints what differs. Requests (stop, checkpoint,
evaluate) are lines appended to the run's commands.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from recommender.units import gib_number
from trainer.diagnosis.diagnose import diagnose
from trainer.history.reader import RunReader
from trainer.run.state import whole
from tui.dashboard.ending import ending_rows, has_ended
from tui.dashboard.notify import Notifier, NotifySettings
from tui.dashboard.now import diagnosis_rows, now_rows, status_row, trouble_row, two_columns
from tui.screens.parts import ScreenWithParts
from tui.screens.popup import ValuePopup
from tui.screens.train.curves import CurveKeys
from tui.screens.train.deck import PagedPane
from tui.screens.train.palette import RunCommands
from tui.screens.train.requests import RequestKeys
from tui.screens.train.snapshot import Look, fingerprint
from tui.terminal.base_app import BaseApp
from tui.terminal.sanitize import clean
from tui.terminal.task import Failures, Run, Task
from tui.terminal.textual_internals import send_to_terminal
from tui.widgets.key_bar import KeyBar
from tui.widgets.rows import Rows, row
from tui.widgets.too_small import TooSmall, is_too_small
from tui.widgets.top_bar import DeviceLine, Step, TopBar

if TYPE_CHECKING:
    from textual import events

    from presets.errors import WizardError
    from trainer.history.reader import Snapshot

POLL_SECONDS = 1.0
"""Seconds between two looks at a run that goes on."""
FIRST_LOOK_SECONDS, LOOK_SECONDS, PAINT_SECONDS = 0.02, 0.25, 1.0
"""Seconds of reading after which the part known already is shown; and those that a look waits for it at most."""
DRAW_SECONDS, FEW_POINTS = 3.0, 100
"""Seconds between two drawings of curves that have more points than that."""
ENDED_FACTOR = 4
"""Factor by which one that has ended is looked at less often: it may be resumed from elsewhere."""
NARROW = (100, 30)
"""Columns and rows below which the panes beside and below the loss become pages of one pane."""


class TrainScreen(ScreenWithParts):
    """The dashboard of one run."""

    HELP: ClassVar[str] = (
        "The run is a process of its own: leaving this screen, closing the terminal or losing the connection does not "
        "touch it, and `lora-wizard watch` comes back to it.\n\n"
        "In the curves grey is each step, bright the smoothed value, and a dot an evaluation. `m` changes what the "
        "large curve shows, `F` gives it the whole screen, `y` changes its scale; `+` and `-` zoom, the arrows move, "
        "`0` goes back to everything. `k` or the mouse says the values at a step."
    )
    COMMANDS: ClassVar[set[type[RunCommands]]] = {RunCommands}  # type: ignore[assignment]
    BINDINGS: ClassVar[list[BindingType]] = [
        *RequestKeys.BINDINGS,
        *CurveKeys.BINDINGS,
        Binding("l", "turn", "log/events"),
        Binding("slash", "filter", "filter", key_display="/", show=False),
        Binding("ctrl+d", "detach", "detach"),
        Binding("question_mark", "help", "help", key_display="?"),
    ]
    DEFAULT_CSS = """
    TrainScreen { layers: default cover; layout: vertical; }
    TrainScreen.-tiny TooSmall { display: block; }
    #status { height: 1; padding: 0 1; background: $surface; }
    #trouble, #unreadable { height: auto; min-height: 1; max-height: 4; padding: 0 1; display: none; }
    TrainScreen.-unreadable #unreadable { display: block; }
    #body { height: 1fr; }
    #right { width: 46; height: 1fr; }
    #main { width: 1fr; height: 1fr; }
    #minor { height: 20%; min-height: 9; }
    #minor .pane { width: 1fr; height: 1fr; }
    #now { height: auto; max-height: 80%; }
    #status, #trouble, #unreadable, #now Rows { height: auto; overflow-y: hidden; scrollbar-gutter: auto; }
    #status { height: 1; }
    #diagnosis { height: 1fr; min-height: 4; }
    #ending { height: 1fr; display: none; }
    PagedPane { height: 18%; min-height: 7; }
    Curve { height: 1fr; }
    TrainScreen.-trouble #now { height: 1fr; }
    TrainScreen.-trouble #diagnosis { height: auto; max-height: 60%; }
    TrainScreen.-trouble #diagnosis Rows { height: auto; }
    TrainScreen.-ended #right { width: 1fr; }
    TrainScreen.-ended #now, TrainScreen.-ended #diagnosis, TrainScreen.-ended #minor { display: none; }
    TrainScreen.-ended #ending { display: block; }
    TrainScreen.-full #right, TrainScreen.-full #minor, TrainScreen.-full PagedPane { display: none; }
    TrainScreen.-full #body { height: 1fr; }
    TrainScreen.-narrow #right, TrainScreen.-narrow #minor { display: none; }
    TrainScreen.-narrow PagedPane { height: 9; }
    TrainScreen.-narrow.-trouble #trouble { display: block; }
    TrainScreen.-narrow.-ended #trouble { display: none; }
    TrainScreen.-narrow.-ended #body { height: 8; }
    TrainScreen.-narrow.-ended PagedPane { height: 1fr; }
    """

    def __init__(
        self,
        run_path: Path,
        *,
        unicode: bool | None = None,
        clock: Callable[[], float] = time.time,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Make the screen.

        Args:
            run_path: The run's folder.
            unicode: Whether curves may be drawn in braille; as the application draws when None.
            clock: Unix seconds; injected by tests.
            poll_seconds: Between two looks at the folder.
        """
        super().__init__()
        self.run_path = run_path
        self._reader = RunReader(run_path, clock)
        self.curves = CurveKeys(self, run_path, self._reader.stage, lambda: self.draws_unicode)
        self.requests = RequestKeys(self, run_path)
        self.parts = (self.curves, self.requests)
        self._unicode = unicode
        self._poll_seconds = poll_seconds
        self._looking = Task(self, "look")
        self._notifier = Notifier(NotifySettings.kept(), lambda characters: send_to_terminal(self.app, characters))
        self._grown, self._drawn = False, 0.0

    def compose(self) -> ComposeResult:
        """Lay the panes out."""
        # textual-plot and numpy are imported here, when the screen opens, and not with the wizard.
        from tui.screens.train.panes import main_pane, minor_curves

        unicode = self.draws_unicode
        yield TopBar(Step.TRAIN)
        yield Rows(id="status")
        yield Rows(id="unreadable")
        yield Rows(id="trouble")
        with Horizontal(id="body"):
            yield from main_pane(self.curves.history, unicode=unicode)
            with Vertical(id="right"):
                with Vertical(id="now", classes="pane") as now:
                    now.border_title = "now"
                    yield Rows(id="now-rows")
                with Vertical(id="diagnosis", classes="pane") as diagnosis:
                    diagnosis.border_title = "diagnosis"
                    yield Rows(id="diagnosis-rows")
                with Vertical(id="ending", classes="pane") as ending:
                    ending.border_title = "summary"
                    yield Rows(id="ending-rows")
        with Horizontal(id="minor"):
            yield from minor_curves(self.curves.history, unicode=unicode)
        yield PagedPane()
        yield KeyBar()
        yield TooSmall()

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.requests.ended

    def on_curve_pointed(self) -> None:
        """Say the values at the cursor."""
        self.curves.say_view()

    @property
    def draws_unicode(self) -> bool:
        """Whether more than ASCII may be drawn."""
        return self._unicode if self._unicode is not None else isinstance(self.app, BaseApp) and self.app.unicode

    def on_mount(self) -> None:
        """Begin to look."""
        bar = self.query_one(TopBar)
        bar.done = frozenset(Step) - {Step.TRAIN}
        self._looking.start(self._look, lambda _: None, self._unreadable)

    def on_unmount(self) -> None:
        """Let the looking thread end at once."""
        self._looking.cancel()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for the size."""
        narrow = event.size.width < NARROW[0] or event.size.height < NARROW[1]
        self.set_class(is_too_small(*event.size), "-tiny")
        self.set_class(narrow, "-narrow")
        self.query_one(PagedPane).narrow = narrow
        self.curves.show_metric()
        if self.requests.snapshot:
            self._show(self.requests.snapshot, resized=True)

    def _look(self, run: Run) -> None:
        """In a thread: look again and again, whatever went wrong the last time."""
        failures, told = Failures(), None
        seen: tuple[object, ...] = ()
        while not run.stopped():
            try:
                snapshot, problem = self._reader.poll(LOOK_SECONDS if seen else FIRST_LOOK_SECONDS), None
            except Exception as error:
                snapshot, problem = None, error
            if (now_told := failures.take(problem)) is not told:
                told = now_told
                run.deliver(self._unreadable, told)
            if snapshot is None:
                if run.wait(ENDED_FACTOR * self._poll_seconds):
                    return
                continue
            now_seen = fingerprint(snapshot)
            if now_seen != seen:
                seen = now_seen
                look = Look(snapshot)
                run.deliver(self._polled, look)
                if snapshot.behind:
                    # A long run is shown as far as it was read, and read on when that is on the screen: both at
                    # once would share one core.
                    look.painted.wait(PAINT_SECONDS)
            rest = self._poll_seconds * (ENDED_FACTOR if has_ended(snapshot) else 1)
            if run.wait(0.0 if snapshot.behind else rest):
                return

    def _unreadable(self, error: WizardError | None) -> None:
        """Say above the panes why they do not move on."""
        said = [row((clean(error.message), "bad"))] if error else []
        self.set_class(bool(said), "-unreadable")
        self.query_one("#unreadable", Rows).show(said)

    def _polled(self, look: Look) -> None:
        self._show(look.snapshot)
        self.call_after_refresh(look.painted.set)

    def _show(self, snapshot: Snapshot, *, resized: bool = False) -> None:
        was_ended, self.requests.snapshot = self.ended, snapshot
        self._notifier.look(snapshot)
        grown = self.curves.history.absorb(snapshot)
        findings = diagnose(snapshot)
        trouble = trouble_row(findings, self.size.width)
        self.set_class(trouble is not None, "-trouble")
        self.query_one("#status", Rows).show([status_row(snapshot, self.size.width - 2, unicode=self.draws_unicode)])
        self.query_one("#trouble", Rows).show([trouble] if trouble else [])
        now, diagnosis = now_rows(snapshot, self.curves.history), diagnosis_rows(findings)
        self.query_one("#now-rows", Rows).show(now)
        self.query_one("#diagnosis-rows", Rows).show(diagnosis)
        ending = ending_rows(snapshot, keys=True) if self.ended else ()
        self.query_one("#ending-rows", Rows).show(ending)
        self.query_one(PagedPane).show(snapshot, two_columns(now, self.size.width - 5), diagnosis, ending)
        self._show_device(snapshot)
        if grown:
            self._grown = True
        if self._grown and not resized and (self.ended or self._time_to_draw(snapshot)):
            self._grown, self._drawn = False, time.monotonic()
            for curve in self.curves.all():
                if curve.is_on_screen:
                    curve.redraw()
            self.curves.say_view()
        if was_ended != self.ended:
            self.set_class(self.ended, "-ended")
            self.refresh_bindings()

    def _time_to_draw(self, snapshot: Snapshot) -> bool:
        """Figures follow each look; a curve of many points is not seen to move by one more."""
        return len(snapshot.steps) < FEW_POINTS or time.monotonic() - self._drawn >= DRAW_SECONDS or snapshot.behind

    def _show_device(self, snapshot: Snapshot) -> None:
        latest = snapshot.devices[-1] if snapshot.devices else {}
        used, total = whole(latest.get("memory_used")), whole(latest.get("memory_total"))
        name = clean(str(snapshot.start.get("device") or ""))
        if used is not None and total:
            free = total - used
            line = DeviceLine(name, gib_number(free), gib_number(total), low=free < 0.02 * total)
            self.query_one(TopBar).device = line

    # Pages

    def action_turn(self) -> None:
        """Show the next page: events, log, samples or settings."""
        self.query_one(PagedPane).turn()

    def action_filter(self) -> None:
        """Show only events and log lines with some text."""
        deck = self.query_one(PagedPane)
        hint = "empty shows everything again"
        popup = ValuePopup("show lines that hold", deck.filter, lambda _: None, hint=hint)
        self.app.push_screen(popup, lambda typed: deck.show_only(typed) if typed is not None else None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """A run that has ended cannot be asked for anything; a covered screen takes no keys."""
        if self.has_class("-tiny"):
            return action in {"app.quit", "quit", "detach"}
        return not (self.ended and action in RequestKeys.REQUESTS)

    def action_help(self) -> None:
        """Explain the screen and its keys."""
        from tui.screens.help import HelpScreen, help_for

        words = [row(line, indent=0) for line in self.HELP.split("\n")]
        self.app.push_screen(HelpScreen([*words, row(), *help_for(self)]))

    def action_detach(self) -> None:
        """Leave the dashboard; the run goes on."""
        self.app.exit(0, message=farewell(self.run_path, ended=self.ended))


def farewell(run: Path, *, ended: bool) -> str:
    """Line printed when the dashboard is left."""
    from trainer.run.folder import RunFolder

    watch = f"`lora-wizard watch {RunFolder(run).argument}`"
    return (
        f"{run.name} has ended; {watch} shows its summary" if ended else f"{run.name} goes on; {watch} comes back to it"
    )
