"""`lora-wizard [MODEL] [DATA]`: the wizard."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

from presets.errors import InputError
from tui.cli import WIZARD
from tui.commands.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(WIZARD, hidden=True)(wizard)


def require_terminal(instead: str) -> None:
    """Refuse to draw screens where nobody sees them.

    Raises:
        InputError: stdin or stdout is no terminal; names what to run instead.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("This command draws screens and needs a terminal; there is none here.", remedy=instead)


def refuse_misspelt_command(model: str, commands: tuple[str, ...]) -> None:
    """Catch `lora-wizard recomend`: a word close to a command's name that is no folder.

    Raises:
        InputError: names the command that was probably meant.
    """
    near = difflib.get_close_matches(model, commands, n=1, cutoff=0.75)
    if near and not Path(model).exists():
        raise InputError(f"There is no command '{model}'.", remedy=f"Did you mean `lora-wizard {near[0]}`?")


def wizard(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Hub id, folder or catalogue name.")] = None,
    data: Annotated[list[str] | None, typer.Argument(help="Data files.")] = None,
) -> int:
    """Open the wizard; with a model and data given it opens at the plan."""
    from tui.commands.root import command_names

    settings: Settings = context.obj
    if model:
        refuse_misspelt_command(model, command_names())
    require_terminal("Without one, use `lora-wizard recommend`, `train --plain` or `demo --plain`.")
    from tui.app import run_wizard

    return run_wizard(model=model, data=data, runs=settings.runs, theme=settings.theme, unicode=settings.unicode)
