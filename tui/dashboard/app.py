"""`lora-wizard watch`: the dashboard as an application of its own, and the list of runs above it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui.terminal.base_app import BaseApp


class WatchApp(BaseApp[int]):
    """Holds the Train screen of one run, or the list of runs when none was named."""

    TITLE = "lora-wizard"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back", show=False),
        Binding("R", "runs", "runs"),
        # Textual binds ctrl+p only where nothing else opens the palette; it is Docker's detach prefix, so : does too.
        Binding("ctrl+p,colon", "command_palette", "palette", show=False, key_display="^p"),
        Binding("q", "quit", "quit"),
        Binding("ctrl+q,ctrl+c", "quit", "quit", show=False),
    ]

    def __init__(
        self, run_path: Path | None, runs_dir: Path, *, theme: str | None = None, unicode: bool = True
    ) -> None:
        super().__init__(theme=theme, unicode=unicode)
        self.run_path = run_path
        self.runs_dir = runs_dir

    def get_default_screen(self) -> Screen[Any]:
        """The run, or the list: no empty screen is painted before it."""
        if self.run_path is None:
            from tui.screens.runs.screen import RunsScreen

            return RunsScreen(self.runs_dir)
        from tui.screens.train.screen import TrainScreen

        return TrainScreen(self.run_path)

    async def action_back(self) -> None:
        """Close what is open above the run."""
        if len(self.screen_stack) > 1:
            self.pop_screen()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The list of runs is not offered on itself."""
        from tui.screens.runs.screen import RunsScreen

        if action == "runs" and self.screen_stack and isinstance(self.screen, RunsScreen):
            return False
        return super().check_action(action, parameters)

    def action_runs(self) -> None:
        """List all runs."""
        from tui.screens.runs.screen import RunsScreen

        if not isinstance(self.screen, RunsScreen):
            self.push_screen(RunsScreen(self.runs_dir))

    async def show_run(self, run: Path) -> None:
        """Watch another run from now on, above what was open first."""
        from tui.screens.train.screen import TrainScreen

        self.run_path = run
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        # Textual cannot switch away from an application's first screen, so that one stays below.
        first = self.screen
        if not (isinstance(first, TrainScreen) and first.run_path == run):
            await self.push_screen(TrainScreen(run))

    async def action_quit(self) -> None:
        """Leave the dashboard; the run goes on."""
        from tui.screens.train.screen import TrainScreen, farewell

        shown = next((screen for screen in reversed(self.screen_stack) if isinstance(screen, TrainScreen)), None)
        message = farewell(shown.run_path, ended=shown.ended) if shown else None
        self.exit(0, message=message)


def run_watch(run_path: Path | None, runs_dir: Path, theme: str | None = None, unicode: bool = True) -> int:
    """Open the dashboard and return its exit code.

    Args:
        run_path: The run's folder; None opens the list of runs.
        runs_dir: Folder of all runs.
        theme: Its name; the default one when None.
        unicode: Whether more than ASCII may be drawn.

    Returns:
        0 when the run finished, was stopped or goes on; 1 when it had failed by the time the dashboard was left.
    """
    app = WatchApp(run_path, runs_dir, theme=theme, unicode=unicode)
    app.run()
    if app.return_code:
        return app.return_code
    return _outcome(app.run_path)


def _outcome(run_path: Path | None) -> int:
    """Exit code for the run's status."""
    from trainer.history.reader import RunReader

    if run_path is None:
        return 0
    return 1 if RunReader(run_path).poll().status == "failed" else 0
