"""Waiting for a run that is about to end, before it is resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from presets.errors import InputError
from trainer.history.listing import is_alive
from trainer.history.tail import Tail
from trainer.run.folder import RunFolder
from trainer.run.state import RunState, number, read_state

WAIT_SECONDS: Final = 120.0
"""The time limit of a stop: a step, a checkpoint, and the end of the worker's process."""
TELL_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.2


def is_stopping(folder: RunFolder, state: RunState) -> bool:
    """Whether a live run has finished its work, or its current attempt was asked to stop, by a request or a signal."""
    if state.ended or state.stopping:
        return True
    began = state.supervisor.start if state.supervisor else 0.0
    asked = [each for each in Tail(folder.commands).documents() if (number(each.get("t")) or 0.0) >= began]
    return any(each.get("command") in {"stop", "stop_now"} for each in asked)


def wait_for_end(
    folder: RunFolder,
    log: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> RunState:
    """Wait until a run that is about to end is gone; return its last state.

    Args:
        folder: The run.
        log: Told that it is waited for, and again every ten seconds.
        clock: Monotonic seconds; injected by tests.
        sleep: Waits between two looks; injected by tests.

    Raises:
        InputError: It runs and nobody has asked it to stop, or it has not ended within two minutes.
    """
    began, logged_at = clock(), -TELL_SECONDS
    while is_alive(state := read_state(folder)):
        if not is_stopping(folder, state):
            raise InputError(f"{folder.id} is running.", remedy=f"`lora-wizard watch {folder.argument}` shows it.")
        waited = clock() - began
        if waited >= WAIT_SECONDS:
            raise _takes_long(folder, state)
        if waited - logged_at >= TELL_SECONDS:
            logged_at = waited
            log(f"waiting for {folder.id} to end …" + (f" {waited:.0f} s" if waited >= 1 else ""))
        sleep(LOOK_SECONDS)
    return state


def _takes_long(folder: RunFolder, state: RunState) -> InputError:
    if state.ended:
        return InputError(
            f"{folder.id} is still ending after {WAIT_SECONDS:.0f} s.",
            remedy="Try again later: its run.on_end command, where it has one, is given ten minutes.",
        )
    return InputError(
        f"{folder.id} was asked to stop and is still running after {WAIT_SECONDS:.0f} s.",
        remedy=f"Try again once it has ended, or end it with `lora-wizard stop {folder.argument} --now`.",
    )
