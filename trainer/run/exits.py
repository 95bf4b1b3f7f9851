"""Exit codes of the worker process: the supervisor and the checks decide by them how to go on."""

from __future__ import annotations

from typing import Final

from presets.errors import InputError

DONE: Final = 0
"""Finished, or stopped as asked."""
FAILED: Final = 1
"""An unforeseen error; its end event or worker.log says which."""
BAD_INPUT: Final = InputError.exit_code
"""Configuration, model or data cannot be used; the reason has been told with a remedy."""
OUT_OF_MEMORY: Final = 3
"""No memory left: a supervisor restarts the worker with a change that needs less."""
ROLL_BACK: Final = 4
"""Loss or gradient not finite: a supervisor restarts from the last checkpoint at half the learning rate."""
ANOTHER_RANK: Final = 5
"""This process was well: another one of the run has ended, and it could not go on alone."""
FORESEEN: Final = frozenset({BAD_INPUT, OUT_OF_MEMORY})
"""Codes of a worker that has said what would help."""
