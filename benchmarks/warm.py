"""Supervisors and workers forked from a process that has torch and TRL imported: a run then starts in a second.

They are the program's own: only the start of a new interpreter is left out, which would be most of a benchmark of a
hundred short runs. Import this where nothing else has started threads, and from the main thread alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from recommender.machine.facts import Device
from trainer.process import launch as launching
from trainer.process.environment import child_environment
from trainer.process.supervisor import Supervisor
from trainer.run.folder import RunFolder
from trainer.run.state import read_state

START_SECONDS = 60.0
JUMP_AFTER_SECONDS = 2.0
nvml_fails = False
"""Whether processes forked from now on are told of a GPU whose driver's library fails at each call."""
clock_jump = 0.0
"""Seconds by which the clock of processes forked from now on jumps, a moment after their start."""


class Forked:
    """A forked child with as much of Popen as the supervisor uses.

    Args:
        work: What the child does; its answer is the exit code.
        folder: Whose log takes what it prints.
    """

    def __init__(self, work: Callable[[], int], folder: RunFolder) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _be(work, folder)

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: It runs on.
        """
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("forked", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Signal it."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


def _be(work: Callable[[], int], folder: RunFolder) -> NoReturn:
    code = 70
    try:
        os.setsid()
        os.umask(0o077)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        null, log = os.open(os.devnull, os.O_RDONLY), os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        os.chdir(folder.path)
        if clock_jump:
            _jump(clock_jump)
        if nvml_fails:
            _fail_nvml()
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _jump(seconds: float) -> None:
    true, began = time.time, time.monotonic()
    time.time = lambda: true() + (seconds if time.monotonic() - began > JUMP_AFTER_SECONDS else 0.0)


def _fail_nvml() -> None:
    from recommender.machine import probe

    def poll_gpus() -> NoReturn:
        raise OSError("NVML: driver/library version mismatch")

    probe.poll_gpus = poll_gpus


class WarmSupervisor(Supervisor):
    """The supervisor, whose worker needs no new interpreter."""

    def _start_worker(self) -> Any:
        folder, resume = self.folder, self.resume

        def work() -> int:
            from trainer.worker.__main__ import main

            sys.argv = ["worker", str(folder.path), *(["--resume"] if resume else [])]
            return main()

        return Forked(work, folder)


def _start_supervisor(folder: RunFolder, device: Device, *, allow_busy: bool, resume: bool = False) -> None:
    """As trainer.process.launch does it; the caller must let several runs share a device."""
    assert allow_busy
    child = Forked(WarmSupervisor(folder, device, resume=resume).run, folder)
    children.append(child)
    until = time.monotonic() + START_SECONDS
    while True:
        state = read_state(folder)
        if state.supervisor is not None and state.supervisor.pid == child.pid:
            return
        if time.monotonic() > until or child.poll() is not None:
            raise RuntimeError(f"no supervisor: {folder.log}")
        time.sleep(0.01)


children: list[Forked] = []


def reap() -> None:
    """Let go of supervisors that have ended."""
    children[:] = [child for child in children if child.poll() is None]


def warm_up() -> None:
    """Import what a worker imports, and let runs be started by forking from now on."""
    os.environ.update(child_environment(None))
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    import transformers.models.llama.modeling_llama  # noqa: F401

    import trainer.worker.train  # noqa: F401

    launching._start_supervisor = _start_supervisor
