"""Base of all steps of the wizard: the bar above, the keys below, and following the wizard's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from presets.questions import QuestionError
from tui.screens.parts import ScreenWithParts
from tui.screens.unready import failure_rows
from tui.widgets.key_bar import KeyBar
from tui.widgets.rows import Row, row
from tui.widgets.text import paragraph
from tui.widgets.too_small import TooSmall, is_too_small
from tui.widgets.top_bar import Step, TopBar

if TYPE_CHECKING:
    from textual import events

    from presets.errors import WizardError
    from tui.wizard.host import WizardHost
    from tui.wizard.state import WizardState

NARROW = 100
"""Columns below which panes stack or become tabs."""


class StepScreen(ScreenWithParts):
    """One step.

    A subclass gives `STEP`, its `body`, and `show`, which is called with the state whenever that has changed while the
    screen is seen, and when it comes to be seen.
    """

    STEP: ClassVar[Step]
    HELP: ClassVar[str] = ""
    """Text of `?` about the screen as a whole."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "app.next_step", "next step"),
        Binding("question_mark", "app.help", "help", key_display="?"),
    ]
    DEFAULT_CSS = """
    StepScreen { layers: default cover; }
    .problem { height: auto; max-height: 9; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._put_away: Mapping[Step, WizardError] = {}

    @property
    def wizard(self) -> WizardHost:
        """The application that this is a step of."""
        return cast("WizardHost", self.app)

    @property
    def state(self) -> WizardState:
        """State of the wizard."""
        return self.wizard.state

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield TopBar(self.STEP)
        yield from self.body()
        yield KeyBar()

    def body(self) -> ComposeResult:
        """Widgets between the bar and the keys."""
        raise NotImplementedError

    def show(self, state: WizardState) -> None:
        """Show the state."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Follow the state."""
        self.watch(self.app, "state", self.follow, init=False)
        self.follow()

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen was seen."""
        self.follow()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for the size."""
        tiny = is_too_small(*event.size)
        if tiny and not self.query(TooSmall):
            self.mount(TooSmall())
        self.set_class(tiny, "-tiny")
        self.set_class(event.size.width < NARROW, "-narrow")
        self.set_class(event.size.height < 30, "-short")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Turn off the keys that change anything while the notice of a small terminal covers everything."""
        return not self.has_class("-tiny") or action in {"app.quit", "quit"}

    def explain(self) -> list[Row]:
        """Rows of `?`: about the widget that has the focus, or about the step."""
        return [row((f"{self.STEP.value} {self.STEP.title}", "accent")), row(self.HELP)]

    def follow(self) -> None:
        """Show the state as it is now, where the screen is seen."""
        if not self.is_attached or self.app.screen is not self:
            return
        state = self.state
        bar = self.query_one(TopBar)
        bar.named = state.names
        bar.done, bar.failed, bar.device = state.done, frozenset(state.failed), state.device_line()
        self._show_problem(state)
        self.show(state)

    def problems(self, state: WizardState) -> Mapping[Step, WizardError]:
        """Return the errors that the panel shows: this step's; a step may tell of those before it too."""
        error = state.errors.get(self.STEP)
        return {} if error is None else {self.STEP: error}

    def _show_problem(self, state: WizardState) -> None:
        """Make the panel when there is something to say, and remove it when there is not or it was closed."""
        found = self.problems(state)
        if not found:
            self._put_away = {}
        problems = {} if found == self._put_away else found
        panel = next(iter(self.query(Problem)), None)
        if panel is not None and problems != panel.problems:
            panel.remove()
            panel = None
        if problems and panel is None:
            self.mount(Problem(self.STEP, problems), after=self.query_one(TopBar))

    def close_problem(self) -> bool:
        """Take the panel away until something else is wrong; whether there was one."""
        panels = self.query(Problem)
        for panel in panels:
            self._put_away = panel.problems
            panel.remove()
        return bool(panels)


class Part:
    """A matter of a step's screen with keys, actions and tasks of its own; see `ScreenWithParts`.

    Attributes:
        screen: The screen that it is a part of.
    """

    def __init__(self, screen: StepScreen) -> None:
        self.screen = screen

    @property
    def wizard(self) -> WizardHost:
        """The application."""
        return self.screen.wizard

    @property
    def state(self) -> WizardState:
        """State of the wizard."""
        return self.screen.state


class Problem(Static):
    """Errors of a step, or of those before it that it needs, with reasons and what to do next; escape closes it.

    Attributes:
        problems: The errors that it shows.
    """

    def __init__(self, here: Step, problems: Mapping[Step, WizardError]) -> None:
        rows: list[Row] = []
        for step, error in problems.items():
            rows += error_rows(error, here) if step is here else failure_rows(step, error)
        asks = all(isinstance(error, QuestionError) for error in problems.values())
        super().__init__(paragraph(rows), classes=f"problem pane {'-caution' if asks else '-bad'}")
        self.border_title = "a question" if asks else "this did not work"
        self.border_subtitle = "esc closes"
        self.problems = problems


def error_rows(error: WizardError, here: Step | None = None) -> list[Row]:
    """Rows of an error: its message, its remedy, and the first lines of the technical detail.

    Args:
        error: What went wrong.
        here: The step that the rows stand in: its keys are named where they do what the command line's options do.
    """
    from recommender.data.formats.recognise import ShapeError
    from tui.terminal.sanitize import clean

    if isinstance(error, QuestionError):
        way = "a answers it" if here is Step.DATA else "3, then a, answers it"
        return [row(("? ", "caution"), (clean(error.message), "bright")), row(("→ ", "accent"), way)]
    lines = [row(("✗ ", "bad"), (clean(error.message), "bright"))]
    by_hand = here is Step.DATA and isinstance(error, ShapeError) and error.columns
    if remedy := "f says which column is what" if by_hand else clean(error.remedy):
        lines.append(row(("→ ", "accent"), remedy))
    lines += [row((f"  {clean(line)}", "quiet")) for line in error.detail.strip().splitlines()[:3]]
    return lines
