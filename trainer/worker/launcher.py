"""The launcher: `python -m trainer.worker.launcher RUN --processes N [--resume]` starts a run's ranks and waits.

It is torchrun's agent, called by its public interface (`torch.distributed.launcher.api`) to have the exit code of each
rank, which the command line only prints. `accelerate launch` would start the same agent, and also read the user's
`default_config.yaml`, whose settings stand in no configuration of ours. Ranks of one machine find each other by a file
and talk over the loopback: there is no port that could be taken, and none that another machine reaches.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trainer.history.tail import last_lines
from trainer.process.ending import STOP, STOP_NOW
from trainer.run import exits
from trainer.run.folder import RunFolder
from trainer.run.ranks import Outcome, of_rank, process_of

STORE: Final = "LORA_WIZARD_RANK_STORE"
"""Variable with the file by which the ranks find each other."""
SUPERVISOR: Final = "LORA_WIZARD_SUPERVISOR_PID"
"""Variable with the pid of the supervisor, which is not a rank's parent."""
MEASURE: Final = "--preflight-only"
"""Option of a worker that prints one line of JSON, its reading or why there is none."""
LOOK_SECONDS: Final = 0.1
SHUTDOWN_SECONDS: Final = 10
"""Given to ranks that are left when one has died, before the agent kills them: they end by themselves in under a second
(`trainer.worker.loop.siblings`), if they are not frozen."""


def main() -> int:
    """Run as a process of its own."""
    parser = argparse.ArgumentParser(description="Start the ranks of one run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--processes", type=int, required=True)
    chosen, options = parser.parse_known_args()
    folder = RunFolder(chosen.run.absolute())
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _pass_on(folder, STOP))
    signal.signal(STOP_NOW, lambda *_: _pass_on(folder, STOP_NOW, chosen.processes))
    with tempfile.TemporaryDirectory(prefix="lora-wizard-ranks-") as place:
        return launch(folder, chosen.processes, Path(place), options)


def launch(folder: RunFolder, processes: int, place: Path, options: list[str]) -> int:
    """Start the ranks, wait until all have ended, and write down the end of the first that failed.

    Args:
        folder: The run.
        processes: How many.
        place: An empty folder on this machine.
        options: Passed on to each rank.

    Returns:
        0 where every rank ended well; else the exit code that tells a supervisor how to go on.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # The agent would open a port for the ranks to meet at.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    os.environ |= {STORE: str(place / "ranks"), SUPERVISOR: str(os.getppid())}
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=folder.id,
        rdzv_backend="c10d",
        rdzv_endpoint=str(place / "agents"),
        rdzv_configs={"store_type": "file"},
        local_addr="127.0.0.1",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
        # The others are ours: the agent would end every rank at once.
        signals_to_handle="SIGQUIT",
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "trainer.worker", str(folder.path), *options)
    except ChildFailedError as ended:
        codes = {rank: failure.exitcode for rank, failure in ended.failures.items()}
        found = outcome_of(codes)
        found.write(folder)
        if found.rank and MEASURE in options:
            # What the first rank would have printed.
            print(*last_lines(of_rank(folder, found.rank).log, 1), flush=True)
        return found.exit_code if found.exit_code > 0 else exits.FAILED
    return exits.DONE


def outcome_of(codes: Mapping[int, int]) -> Outcome:
    """Return the end on account of which the others ended.

    Args:
        codes: Exit code of each rank that did not end well, in the order in which they were seen.
    """
    for wanted in (exits.OUT_OF_MEMORY, exits.ROLL_BACK):
        if rank := next(([rank] for rank, code in codes.items() if code == wanted), None):
            return Outcome(rank[0], wanted)
    because_of_others = {exits.ANOTHER_RANK, -signal.SIGTERM}
    first = [*(rank for rank, code in codes.items() if code not in because_of_others), *codes][0]
    return Outcome(first, codes[first])


def _pass_on(folder: RunFolder, number: int, killed: int = 0) -> None:
    """Send a signal to the first rank, once it is there to take it.

    Args:
        folder: The run.
        number: Of the signal.
        killed: How many ranks are killed where the first does not end by it: it, or one that it waits for, is frozen.
    """
    threading.Thread(target=_send, args=(folder, number, killed), daemon=True).start()


def _send(folder: RunFolder, number: int, killed: int) -> None:
    done = threading.Event()
    while (first := process_of(folder, 0)) is None:
        done.wait(LOOK_SECONDS)
    if first.alive():
        os.kill(first.pid, number)
    if not killed or done.wait(SHUTDOWN_SECONDS) or not first.alive():
        return
    for process in (process_of(folder, rank) for rank in range(killed)):
        if process is not None and process.alive():
            os.kill(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
