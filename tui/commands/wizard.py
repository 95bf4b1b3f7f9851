"""`lora-wizard [MODEL] [DATA]`: the wizard."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from presets.errors import InputError
from tui.commands.names import WIZARD
from tui.commands.opening import open_wizard
from tui.commands.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(WIZARD, hidden=True)(wizard)


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
    settings: Settings = context.obj
    root = context.find_root().command
    if model and isinstance(root, TyperGroup):
        refuse_misspelt_command(model, tuple(root.list_commands(context)))
    return open_wizard(settings, model, data)
