"""Asking for a yes to a shell command that a configuration names, before anything starts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from presets.errors import InputError

if TYPE_CHECKING:
    from trainer.process.consent import ConsentError

AllowOnEnd = Annotated[
    bool, typer.Option("--allow-on-end", help="Agree to the shell command of run.on_end, for this run.")
]


def agree_on_end(command: str | None, *, allowed: bool) -> bool:
    """Ask for what is not agreed to yet.

    Args:
        command: run.on_end, None for none.
        allowed: Whether --allow-on-end was given.

    Returns:
        True; nothing is left to be asked.

    Raises:
        InputError: Nobody agreed: there is no terminal, or the answer is no.
    """
    from trainer.process.consent import ConsentError, require_consent

    try:
        require_consent(command, allowed=allowed)
    except ConsentError as unagreed:
        ask(unagreed)
    return True


def ask(unagreed: ConsentError) -> None:
    """Ask on the terminal; a yes is kept for exactly this command.

    Raises:
        InputError: There is no terminal, or the answer is no.
    """
    from trainer.process.consent import store_consent
    from tui.terminal.sanitize import clean

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise unagreed
    typer.echo(
        "run.on_end is a shell command that runs as you, with your files and keys, when the run has ended:", err=True
    )
    for line in unagreed.command.split("\n"):
        typer.echo(f"    {clean(line)}", err=True)
    if not typer.confirm("Run it then, here and wherever else it stands to the letter?", err=True):
        raise InputError(
            "Nothing was started: run.on_end was not agreed to.", remedy="--set run.on_end=null leaves it out."
        ) from None
    store_consent(unagreed.command)
