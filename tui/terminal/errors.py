"""Turns an error into the text that a person reads on the command line: the one place for it."""

from __future__ import annotations

import sys
import traceback
from datetime import datetime
from pathlib import Path

from presets.errors import WizardError
from presets.questions import QuestionError
from tui.terminal.sanitize import clean_text
from tui.terminal.streams import print_json

INTERNAL_ERROR_EXIT = 70
"""EX_SOFTWARE of sysexits.h: our fault, neither a 'no' (1) nor bad input (2)."""


def render(error: WizardError) -> str:
    """Return the lines for stderr: the error or question, then its remedy, then detail."""
    lines = [f"{'question' if isinstance(error, QuestionError) else 'error'}: {error.message}"]
    if error.remedy:
        lines.append(f"  → {error.remedy}")
    lines += [f"  {line}" for line in error.detail.strip().splitlines()]
    # Names of files, models and columns are what others chose.
    return clean_text("\n".join(lines))


def show(error: WizardError, *, as_json: bool = False) -> int:
    """Print the error to stderr and return its exit code.

    Args:
        error: What went wrong, or what is asked.
        as_json: Whether a program asked: a question is printed to stdout too, as its JSON document.
    """
    print(render(error), file=sys.stderr)
    if as_json and isinstance(error, QuestionError):
        print_json({"question": error.question.document()})
    return error.exit_code


def crash_log_path() -> Path:
    """Path of the log of tracebacks of our own faults."""
    from recommender.paths import state_dir

    return state_dir() / "crash.log"


def keep_crash(error: BaseException) -> str:
    """Keep the traceback in the crash log; return where it is, as the end of a sentence."""
    text = "".join(traceback.format_exception(error))
    try:
        log = crash_log_path()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as stream:
            stream.write(f"--- {datetime.now().isoformat(timespec='seconds')} {' '.join(sys.argv)}\n{text}\n")
    except (OSError, WizardError) as problem:
        return f"and its details could not be kept ({problem})"
    return f"the details are in {log}"


def crash_sentence(error: BaseException) -> str:
    """Keep the traceback, and say in one sentence that this is our fault and where the details are."""
    return f"lora-wizard itself failed ({type(error).__name__}: {error}); {keep_crash(error)}"


def told_as(error: BaseException) -> WizardError:
    """The failure as an error to show: its own message, or that it is our fault and where the details are."""
    return error if isinstance(error, WizardError) else WizardError(crash_sentence(error))


def show_crash(error: BaseException) -> int:
    """Keep the traceback in the crash log, say so in one line, and return the exit code of an internal error."""
    print(clean_text(f"error: {crash_sentence(error)}"), file=sys.stderr)
    return INTERNAL_ERROR_EXIT
