"""Completion scripts for shells that are named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from presets.errors import InputError
from tui.commands.names import COMPLETE, PROGRAM

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def completion(arguments: Sequence[str]) -> str | None:
    """Return the text to print where completion is asked for with a shell's name, as other tools take it; else None.

    Without a name Typer's own options find the shell out.

    Raises:
        InputError: There is no completion for that shell, or it cannot be installed here.
    """
    first, _, joined = arguments[0].partition("=") if arguments else ("", "", "")
    named = [joined, *arguments[1:]] if joined else list(arguments[1:])
    if first not in ("--show-completion", "--install-completion") or len(named) != 1:
        return None
    if named[0] not in SHELLS:
        raise InputError(f"There is no completion for '{named[0]}'.", remedy=f"Name one of {', '.join(SHELLS)}.")
    if first == "--show-completion":
        from typer._completion_shared import get_completion_script

        return get_completion_script(prog_name=PROGRAM, complete_var=COMPLETE, shell=named[0])
    return f"{named[0]} completion is installed in {_installed(named[0])}: it works from the next terminal on."


def _installed(shell: str) -> Path:
    """Install a shell's completion and return the script's path.

    Raises:
        InputError: The shell's files cannot be written, or the shell is needed and is not there.
    """
    from subprocess import CalledProcessError

    from typer._completion_shared import install

    try:
        return install(shell=shell, prog_name=PROGRAM, complete_var=COMPLETE)[1]
    except (OSError, RuntimeError, CalledProcessError) as error:
        raise InputError(
            f"Completion for {shell} cannot be installed here: {error}.",
            remedy=f"`{PROGRAM} --show-completion {shell}` prints the script: put it where {shell} reads it.",
        ) from error
