"""The root of the command line: its options and the list of its commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import Abort, TyperException

from tui.commands import data, facts, life, planning, results, training, trying, wizard
from tui.commands.settings import Settings


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"lora-wizard {version('lora-wizard')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    runs: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the runs.")] = None,
    no_unicode: Annotated[bool, typer.Option("--no-unicode", help="Draw with ASCII only.")] = False,
    theme: Annotated[str | None, typer.Option(metavar="NAME", help="dark, light or colour-blind.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Plan, check, train and watch a LoRA or QLoRA fine-tune on your own GPU.

    Without a command the wizard opens: lora-wizard [MODEL] [DATA]...
    """
    del version
    from recommender.paths import expanded, runs_dir

    if theme:
        from tui.terminal.theme import theme_named

        theme_named(theme)

    context.obj = Settings(
        runs=expanded(runs).absolute() if runs else runs_dir(), unicode=not no_unicode, theme=theme, verbose=verbose
    )


@cache
def application() -> typer.Typer:
    """The Typer application with every command."""
    app = typer.Typer(
        name="lora-wizard",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=False,
        callback=_root,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for module in (wizard, facts, planning, data, training, trying, life, results):
        module.register(app)
    return app


@cache
def _command() -> Any:
    return typer.main.get_command(application())


def command_names() -> tuple[str, ...]:
    """Names of all commands, the wizard's hidden one among them."""
    return tuple(_command().commands)


def run(arguments: Sequence[str]) -> int:
    """Run one line.

    Args:
        arguments: Root options, the command's name, its arguments.

    Returns:
        The command's exit code.
    """
    try:
        code = _command().main(args=list(arguments), prog_name="lora-wizard", standalone_mode=False)
    except Abort:
        raise KeyboardInterrupt from None
    except TyperException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "lora-wizard"
        print(f"error: {error.format_message()}\n  → `{where} --help` shows what it takes.", file=sys.stderr)
        return 2
    except SystemExit as left:
        # Typer leaves with 1, a sound 'no' here, when the reader of a pipe has gone.
        if isinstance(left.__context__, BrokenPipeError):
            return 0
        raise
    return code if isinstance(code, int) else 0
