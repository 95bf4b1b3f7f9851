"""The end of a run where its worker could not write it, and the person's command that runs after it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from typing import Final

from presets.errors import WizardError
from trainer.history.tail import Tail, last_lines
from trainer.process.consent import run_has_consent
from trainer.run.folder import RunFolder, append_event
from trainer.run.state import RunState, text

STOP_NOW: Final = signal.SIGUSR1
"""The signal that a supervisor sends its worker on a second stop. Not a second SIGTERM: where a session ends, a
batch system cancels a job or a machine shuts down, each process gets one of its own beside the one that is passed on,
and nobody has asked for the unsaved steps to be thrown away."""
STOP: Final = signal.SIGUSR2
"""The signal by which a launcher passes a stop on to the first of several processes. Not SIGTERM, which torchrun's
agent sends to all that are left when one has died."""
UNTELLING: Final = re.compile(r"\{'|[EWI]\d{4} \d\d:.* torch/distributed/elastic/")
"""Lines of a log that tell nothing of an end."""
GRACE_SECONDS: Final = 5.0
"""Between asking a command that took too long to end, and ending it."""
ON_END_SECONDS: Final = 600.0
"""The time limit of the person's command; longer work belongs in the background."""


def run_on_end(folder: RunFolder, state: RunState) -> None:
    """Run `run.on_end` once the run has ended and its adapter is on the disk; its outcome is an event.

    Only the command that the run was started or resumed with is run: a changed one waits for somebody's yes.

    The command is a shell's, with the run told in its environment: LORA_WIZARD_RUN (the folder), LORA_WIZARD_RUN_ID,
    LORA_WIZARD_STATUS, LORA_WIZARD_REASON and LORA_WIZARD_ADAPTER (empty when there is none). What it prints goes to
    the run's log.

    Args:
        folder: The run.
        state: How it ended.
    """
    from recommender.config.io import load_config

    try:
        command = load_config(folder.effective_config).run.on_end
    except WizardError:
        return
    if not command:
        return
    variables = {
        "LORA_WIZARD_RUN": str(folder.path),
        "LORA_WIZARD_RUN_ID": folder.id,
        "LORA_WIZARD_STATUS": state.status,
        "LORA_WIZARD_REASON": state.reason or "",
        "LORA_WIZARD_ADAPTER": str(folder.adapter) if folder.adapter.is_dir() else "",
    }
    if not run_has_consent(folder, command):
        with suppress(OSError):
            append_event(folder, "on_end", command=command, reason="not run: nobody agreed to it")
        return
    os.sync()
    code = _shell(command, folder, variables)
    with suppress(OSError):
        append_event(folder, "on_end", command=command, exit_code=code)


def _shell(command: str, folder: RunFolder, variables: dict[str, str]) -> int | None:
    """Run the command; None when it took too long and was ended."""
    environment = {**os.environ, **variables}
    with folder.log.open("ab") as log:
        child = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder.path,
            start_new_session=True,
        )
        try:
            return child.wait(ON_END_SECONDS)
        except subprocess.TimeoutExpired:
            for last in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, last)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(GRACE_SECONDS)
                    break
            return None


def unsaid_end(
    code: int, folder: RunFolder, *, asked: bool, by_kernel: bool = False, who: str = "the worker"
) -> dict[str, object]:
    """The end event of a worker that could not write its own: it was killed, or died in a library.

    Args:
        code: Its exit code, negative for a signal.
        folder: The run, as that process sees it.
        asked: Whether this supervisor had been asked to stop; before it listens, a signal ends a worker at once.
        by_kernel: Whether the kernel has killed something for memory since the worker began.
        who: What ended: the worker, or which of several processes.
    """
    if asked and code in (-signal.SIGTERM, -STOP_NOW, -signal.SIGKILL):
        return {"status": "stopped", "reason": "stopped at once, as asked", "exit_code": code}
    if folder.rank and (said := last_words(folder)) is not None:
        return {"status": "failed", "reason": f"{who}: {said[0]}", "remedy": said[1], "exit_code": code}
    # Trainer prints each step's figures, which the record has, and torchrun's agent that a rank ended.
    log = [line for line in last_lines(folder.log, 20) if line.strip() and not UNTELLING.match(line)]
    last = f"; the log ends with: {log[-1].strip()[:200]}" if log else ""
    if code == -signal.SIGKILL and by_kernel:
        return {
            "status": "failed",
            "reason": f"the kernel killed {who}: the host's memory (not the card's) was used up" + last,
            "remedy": f"Close what else uses memory, or give this container more of it; then `lora-wizard resume "
            f"{folder.id}` continues from the last checkpoint.",
            "signal": "SIGKILL",
            "exit_code": code,
        }
    if code < 0:
        name = signal.Signals(-code).name
        why = f"{who} was killed by {name}"
        remedy = (
            "SIGKILL is what the kernel sends when the host's memory is used up. `lora-wizard resume` continues from "
            "the last checkpoint; leave more host memory free if it happens again."
            if name == "SIGKILL"
            else "`lora-wizard resume` continues from the last checkpoint."
        )
        return {"status": "failed", "reason": why + last, "remedy": remedy, "signal": name, "exit_code": code}
    return {
        "status": "failed",
        "reason": f"{who} ended with exit code {code}{last}",
        "remedy": f"{folder.log} has everything that it printed.",
        "exit_code": code,
    }


def last_words(folder: RunFolder) -> tuple[str, str | None] | None:
    """Return reason and remedy of the last failure that a rank wrote into its record; None without any."""
    found = None
    for document in Tail(folder.events).documents():
        if document.get("kind") == "status" and document.get("status") == "loading":
            # What came before was an earlier attempt's.
            found = None
        elif document.get("kind") == "end" and document.get("status") == "failed":
            found = document
    reason = text(found.get("reason")) if found else None
    return (reason, text((found or {}).get("remedy"))) if reason else None
