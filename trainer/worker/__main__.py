"""The worker: `python -m trainer.worker RUN [--resume | --preflight-only]`. Trains one run and records its end."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO, cast

from presets.errors import WizardError
from trainer.run import exits
from trainer.run.adapter import restore_adapter
from trainer.run.checkpoints import complete_checkpoints
from trainer.run.folder import RunFolder, repair_last_line
from trainer.run.masking import MaskedStream
from trainer.run.ranks import remember
from trainer.worker.errors import RollBack, is_out_of_memory
from trainer.worker.loop.orphan import Orphan
from trainer.worker.loop.requests import Requests, StopNow
from trainer.worker.loop.siblings import Siblings, is_because_of_another
from trainer.worker.output.disk_space import record
from trainer.worker.world import World, leave, settle_in, this

SEEN_SECONDS = 30.0
"""Within which a rank that died is seen to have, also on a machine with many processes."""
UNFORESEEN = "Change the setting that it names. Where it names none, `lora-wizard doctor` checks the libraries."


def main() -> int:
    """Run as a process of its own, recording the reason of every exit."""
    parser = argparse.ArgumentParser(description="Train one run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--preflight-only", action="store_true")
    chosen = parser.parse_args()
    world = this()
    folder = RunFolder(chosen.run.absolute(), world.rank)
    if world.launched:
        settle_in(folder)
    if chosen.preflight_only:
        if world.launched:
            remember(folder)
        with Siblings(folder, world, lambda: False):
            code = _guarded(folder, lambda: _measure(folder), print_only=True)
        return _ended(code, world)
    # Before any library takes hold of them: what is printed goes to the log, and a log is passed on.
    sys.stdout, sys.stderr = cast("TextIO", MaskedStream(sys.stdout)), cast("TextIO", MaskedStream(sys.stderr))
    repair_last_line(folder.events)
    if world.first:
        restore_adapter(folder)
    requests = Requests(folder)
    requests.listen_to_signals()
    if world.launched:
        remember(folder)
    with (
        Orphan(folder) as orphan,
        Siblings(folder, world, lambda: orphan.alone, lambda code: _leave(orphan, code)) as siblings,
    ):
        code = _guarded(
            folder,
            lambda: _train(folder, requests, resume=chosen.resume),
            print_only=False,
            supervised=lambda: not orphan.alone,
        )
        code = _after_another(siblings) if code == exits.ANOTHER_RANK else code
    return _ended(code, world)


def _ended(code: int, world: World) -> int:
    """Return the exit code; a rank ends here, without the interpreter's own end.

    That takes apart what is left of the process group, which waits for what the others have not sent, and now and then
    for gloo's threads although nothing is left to send.
    """
    if world.launched:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    return code


def _leave(orphan: Orphan, code: int) -> None:
    """End this process from another thread than its main one."""
    orphan.close()
    os._exit(code)


def _after_another(siblings: Siblings) -> int:
    """Wait for the watchdog to see which rank has ended, and to end this one; it is seen within a second."""
    siblings.join(SEEN_SECONDS)
    return exits.ANOTHER_RANK


def _measure(folder: RunFolder) -> int:
    from trainer.worker.train import measure_only

    return measure_only(folder)


def _train(folder: RunFolder, requests: Requests, *, resume: bool) -> int:
    record(folder, "status", status="loading")
    from trainer.worker.train import train

    code = train(folder, requests, resume=resume)
    leave()
    return code


def _guarded(
    folder: RunFolder, work: Callable[[], int], *, print_only: bool, supervised: Callable[[], bool] = lambda: False
) -> int:
    """Do the work, and report its end in one sentence."""
    try:
        return work()
    except StopNow:
        saved = complete_checkpoints(folder)
        after = f"its last checkpoint is {saved[-1].name}" if saved else "it left no checkpoint"
        remedy = f"`lora-wizard resume {folder.argument}` continues it." if saved else None
        record(folder, "end", status="stopped", reason=f"stopped at once, as asked; {after}", remedy=remedy)
        return exits.DONE
    except WizardError as error:
        return _failed(folder, error.message, error.remedy, exits.BAD_INPUT, print_only=print_only)
    except Exception as error:
        traceback.print_exc()
        if this().size > 1 and is_because_of_another(error):
            return exits.ANOTHER_RANK
        if is_out_of_memory(error):
            return _out_of_memory(folder, error, supervised=supervised(), print_only=print_only)
        first = (str(error).splitlines() or [""])[0][:300]
        if isinstance(error, RollBack):
            return _roll_back(folder, first, supervised=supervised())
        why = f"{type(error).__name__}: {first}"
        remedy = UNFORESEEN if print_only else f"{folder.log.name} has the details."
        return _failed(folder, why, remedy, exits.FAILED, print_only=print_only)


def _failed(folder: RunFolder, reason: str, remedy: str, code: int, *, print_only: bool) -> int:
    if print_only:
        import json

        # Its own stdout: the libraries' words have been sent to stderr.
        print(json.dumps({"reason": reason, "remedy": remedy}), file=sys.__stdout__, flush=True)
    else:
        record(folder, "end", status="failed", reason=reason, remedy=remedy, exit_code=code)
    return code


def _out_of_memory(folder: RunFolder, error: BaseException, *, supervised: bool, print_only: bool) -> int:
    """Leave with the exit code that asks the supervisor for less memory; it says how the run goes on or ends."""
    said = (str(error).splitlines() or [""])[0][:300]
    if supervised and not print_only:
        record(folder, "warning", message=f"Out of memory: {said}")
        return exits.OUT_OF_MEMORY
    remedy = "Lower the batch size (accumulate more), or turn gradient checkpointing on."
    return _failed(folder, "out of memory", remedy, exits.OUT_OF_MEMORY, print_only=print_only)


def _roll_back(folder: RunFolder, why: str, *, supervised: bool) -> int:
    """Leave with the exit code that asks the supervisor for half the rate."""
    if supervised:
        record(folder, "warning", message=f"The {why}.")
        return exits.ROLL_BACK
    remedy = "Lower the learning rate and resume; under fp16 try bf16 or fp32."
    return _failed(folder, f"the {why}", remedy, exits.ROLL_BACK, print_only=False)


if __name__ == "__main__":
    sys.exit(main())
