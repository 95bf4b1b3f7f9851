"""Names of the command line that several of its modules need."""

from __future__ import annotations

from typing import Final

PROGRAM: Final = "lora-wizard"
WIZARD: Final = "wizard"
"""Hidden name of the command that runs when the line names none."""
COMPLETE: Final = "_LORA_WIZARD_COMPLETE"
"""Variable under which a shell's completion script runs the program, without arguments, to get the completions."""
