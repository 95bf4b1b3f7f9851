"""Opening the wizard, without Typer.

Typer's parsing imports pydantic, and the bare line has nothing to parse: it comes straight to this module, so that the
first frame waits for neither.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from presets.errors import InputError

if TYPE_CHECKING:
    from tui.commands.settings import Settings


def require_terminal(instead: str) -> None:
    """Refuse to draw screens where nobody sees them.

    Raises:
        InputError: stdin or stdout is no terminal; names what to run instead.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("This command draws screens and needs a terminal; there is none here.", remedy=instead)


def open_wizard(settings: Settings, model: str | None = None, data: Sequence[str] | None = None) -> int:
    """Open the wizard and return its exit code.

    Args:
        settings: What holds for every command.
        model: Hub id, folder or catalogue name.
        data: Data files; with a model given too, the wizard opens at the plan.

    Raises:
        InputError: there is no terminal, or no theme of that name.
    """
    require_terminal("Without one, use `lora-wizard recommend`, `train --plain` or `demo --plain`.")
    from tui.wizard.app import run_wizard

    return run_wizard(model=model, data=data, runs=settings.runs, theme=settings.theme, unicode=settings.unicode)
