"""The wizard: one application, six steps, and a state that all of them watch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen

from tui.terminal.base_app import BaseApp
from tui.widgets.top_bar import Step, TopBar
from tui.wizard.draft import Draft, difference
from tui.wizard.flow import Flow
from tui.wizard.services import RealServices, Services
from tui.wizard.state import WizardState
from tui.wizard.steps.machine import POLL_SECONDS

if TYPE_CHECKING:
    from textual.dom import DOMNode

    from recommender.model.spec import ModelSpec


def _machine() -> Screen[None]:
    from tui.screens.machine.screen import MachineScreen

    return MachineScreen()


def _model() -> Screen[None]:
    from tui.screens.model.screen import ModelScreen

    return ModelScreen()


def _data() -> Screen[None]:
    from tui.screens.data.screen import DataScreen

    return DataScreen()


def _plan() -> Screen[None]:
    from tui.screens.plan.screen import PlanScreen

    return PlanScreen()


def _check() -> Screen[None]:
    from tui.screens.check.screen import CheckScreen

    return CheckScreen()


class WizardApp(BaseApp[int]):
    """The wizard.

    Attributes:
        services: What it asks of the floors below.
        flow: The work that derives the state from its draft.
        state: The draft, and what is known so far.
    """

    TITLE = "lora-wizard"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "machine": _machine,
        "model": _model,
        "data": _data,
        "plan": _plan,
        "check": _check,
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(step.value), f"go({step.value})", f"go to {step.value} {step.title}", show=False)
            for step in Step
        ),
        Binding("escape", "back", "back", show=False),
        Binding("f5", "look_again", "look at the machine again", show=False),
        Binding("R", "runs", "runs", show=False),
        # Textual binds ctrl+p only where nothing else opens the palette; it is Docker's detach prefix, so : does too.
        Binding("ctrl+p,colon", "command_palette", "palette", show=False, key_display="^p"),
        Binding("q", "quit", "quit"),
        Binding("ctrl+q", "quit", "quit", show=False),
    ]

    state: reactive[WizardState] = reactive(WizardState(), init=False, layout=False, repaint=False)

    def __init__(
        self,
        services: Services,
        state: WizardState | None = None,
        *,
        start: Step = Step.MACHINE,
        theme: str | None = None,
        unicode: bool = True,
    ) -> None:
        # Each step is a mode of its own; the one to start with is known only now.
        self.DEFAULT_MODE = start.name.lower()  # type: ignore[misc]
        super().__init__(theme=theme, unicode=unicode)
        self.services = services
        self.set_reactive(WizardApp.state, state or WizardState())
        self.flow = Flow(self)

    @property
    def at(self) -> Step:
        """The step that is seen."""
        return Step[self.current_mode.upper()]

    def on_mount(self) -> None:
        """Look at the machine, once something is on the screen."""
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.flow.set(price=self.services.price_per_hour())
        if self.state.machine is None:
            self.flow.machine.look()
        if self.state.model_name and self.state.model is None:
            self.flow.model.choose(self.state.model_name)
        self.set_interval(POLL_SECONDS, self.flow.machine.poll)
        self.flow.advance()

    @on(TopBar.Jump)
    async def _jump(self, message: TopBar.Jump) -> None:
        await self.action_go(int(message.step))

    async def action_go(self, number: int) -> None:
        """Go to a step."""
        step = Step(number)
        if step is Step.TRAIN:
            await self._go_to_run()
            return
        if step is self.at:
            return
        await self.switch_mode(step.name.lower())
        self.flow.advance()

    async def action_next_step(self) -> None:
        """Go to the next step."""
        if self.at < Step.CHECK:
            await self.action_go(self.at + 1)
        else:
            await self._go_to_run()

    async def action_back(self) -> None:
        """Close what is open, or go to the step before."""
        from tui.screens.base import StepScreen

        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self.screen.query("Toast"):
            self.clear_notifications()
        elif isinstance(self.screen, StepScreen) and self.screen.close_problem():
            return
        elif self.at > Step.MACHINE:
            await self.action_go(self.at - 1)

    async def _go_to_run(self) -> None:
        if self.state.run is None:
            self.notify("Nothing was started here yet: 4 is the plan, R lists all runs.", timeout=4)
            return
        await self.switch_mode("train")

    async def show_run(self, run: Path) -> None:
        """Watch a run: the one that was just started, or one of the list."""
        from tui.screens.train.screen import TrainScreen

        while len(self.screen_stack) > 1:
            self.pop_screen()
        if self.state.run is not None:
            if self.at is Step.TRAIN:
                await self.switch_mode("check")
            await self.remove_mode("train")
        self.add_mode("train", lambda: TrainScreen(run))
        self.flow.set(run=run)
        await self.switch_mode("train")

    def action_runs(self) -> None:
        """List all runs."""
        from tui.screens.runs.screen import RunsScreen

        if not isinstance(self.screen, RunsScreen):
            self.push_screen(RunsScreen(self.services.runs))

    def ask_about_code(self, model: ModelSpec, answered: Callable[[bool | None], None]) -> None:
        """Ask whether a model's own Python code may run."""
        from tui.screens.yes_no import about_code

        self.push_screen(about_code(model), answered)

    def action_look_again(self) -> None:
        """Read the machine again: free memory may have changed, or a card may have come back."""
        self.flow.machine.look()

    def action_help(self) -> None:
        """Explain what has the focus."""
        from tui.screens.help import HelpScreen, help_for

        self.push_screen(HelpScreen(help_for(self.screen)))

    async def action_quit(self) -> None:
        """Quit, after asking about unsaved edits; a run that was started here goes on."""
        if self.state.unsaved:
            from tui.screens.yes_no import YesNo

            self.push_screen(YesNo(_would_be_lost(self.state), "quit", enter_says_yes=False), self._quit_if)
        else:
            self._quit()

    def _quit_if(self, yes: bool | None) -> None:
        if yes:
            self._quit()

    def _quit(self) -> None:
        if self.state.run is None:
            self.exit(0)
            return
        from tui.screens.train.screen import TrainScreen, farewell

        ended = any(screen.ended for screen in self.get_screen_stack("train") if isinstance(screen, TrainScreen))
        self.exit(0, message=farewell(self.state.run, ended=ended))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Everything that can be done here, and the themes."""
        from functools import partial

        from tui.terminal.theme import THEMES
        from tui.widgets.key_bar import described_keys

        for node, binding in described_keys(screen):
            shown = binding.key_display or self.get_key_display(binding)
            title = binding.description[:1].upper() + binding.description[1:]
            yield SystemCommand(
                f"{title}  ({shown})", _explained(node, binding.action), partial(self.simulate_key, binding.key)
            )
        for theme in THEMES:
            yield SystemCommand(
                f"Theme: {theme.name}", "change the colours", partial(setattr, self, "theme", theme.name)
            )


def _would_be_lost(state: WizardState) -> str:
    """Sentence that names the edits that quitting would lose."""
    from recommender.units import counted

    changed, dropped = difference(state.kept, state.draft.values)
    keys = [*changed, *dropped]
    names = ", ".join(key.rpartition(".")[2] for key in keys[:4]) + (" …" if len(keys) > 4 else "")
    way = "" if state.stale else " ^s in step 4 saves the plan."
    return f"{counted(len(keys), 'edit')} of the plan ({names}) would be lost.{way}"


def _explained(node: DOMNode, action: str) -> str:
    """The first line of what the action's own method says about itself."""
    name = action.partition("(")[0]
    owner, _, name = name.rpartition(".")
    holder = {"": node, "app": node.app, "screen": node.screen}.get(owner, node)
    method = getattr(holder, f"action_{name}", None)
    return ((method.__doc__ or "") if method else "").partition("\n")[0].rstrip(".")


def wizard_app(
    *,
    model: str | None,
    data: Sequence[str] | None,
    runs: Path,
    theme: str | None,
    unicode: bool,
    start: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> WizardApp:
    """The wizard with what the command line gave.

    Args:
        model: Hub id, folder or catalogue name.
        data: Files of the training data.
        runs: Folder of the runs.
        theme: Its name; the dark one when None.
        unicode: Whether more than ASCII may be drawn.
        start: Step to open at; with a model and data given the plan, else the first that lacks something.
        overrides: Dotted key to value that the person set.

    Raises:
        InputError: there is no theme of that name.
    """
    from tui.wizard.steps.data import absolute

    train = {"train": absolute(data)} if data else {}
    state = WizardState(Draft(model_name=model or "", data=train, values=dict(overrides or {})))
    if start:
        first = Step[start.upper()]
    else:
        first = Step.PLAN if model and data else (Step.DATA if model else Step.MACHINE)
    return WizardApp(RealServices(runs), state, start=first, theme=theme, unicode=unicode)


def run_wizard(
    *,
    model: str | None,
    data: Sequence[str] | None,
    runs: Path,
    theme: str | None,
    unicode: bool,
    start: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> int:
    """Open the wizard and return its exit code; see `wizard_app`."""
    app = wizard_app(model=model, data=data, runs=runs, theme=theme, unicode=unicode, start=start, overrides=overrides)
    app.run()
    return app.return_code or 0
