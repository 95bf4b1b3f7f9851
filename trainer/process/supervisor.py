"""The supervisor, between dashboard and worker: it outlives every terminal and records how the worker ended.

`python -m trainer.process.supervisor RUN [--resume]`. It is the only writer of state.json while it lives, holds the
device's lock, imports no torch, ignores SIGHUP, and passes SIGTERM on.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TextIO, cast

from presets.errors import InputError, WizardError
from recommender.machine.facts import Device
from trainer.history.tail import Tail
from trainer.process.device_lock import device_holder, take_device, weakness
from trainer.process.device_watch import DeviceWatch
from trainer.process.ending import STOP_NOW, run_on_end, unsaid_end
from trainer.process.recovery import MOST_RECOVERIES, find_recovery, half_the_rate, kernel_kills, out_of_memory_remedy
from trainer.process.strategy import LaunchStrategy, strategy_for
from trainer.run import exits
from trainer.run.events import HEARTBEAT_SECONDS, event
from trainer.run.folder import RunFolder, append_event, append_line, repair_last_line
from trainer.run.identity import Process
from trainer.run.masking import MaskedStream
from trainer.run.plan_file import read_device
from trainer.run.ranks import Outcome, clear, of_rank, process_of
from trainer.run.state import RunState, fold, read_state, write_state

POLL_SECONDS = 0.25


class Supervisor:
    """Starts one worker, folds its events into state.json, and records its end."""

    def __init__(
        self,
        folder: RunFolder,
        device: Device,
        *,
        resume: bool,
        locks: tuple[int, ...] = (),
        strategy: LaunchStrategy | None = None,
    ) -> None:
        self.locks = locks
        self.folder = folder
        self.device = device
        self.resume = resume
        self.tail = Tail(folder.events)
        self.strategy = strategy or strategy_for(folder, device)
        self.launch = self.strategy.launch(folder, device, resume=resume)
        self.watches = tuple(map(DeviceWatch, self.launch.devices))
        self.worker: subprocess.Popen[bytes] | None = None
        self.stops = 0
        self.recoveries = 0
        self.kills = kernel_kills()

    def run(self) -> int:
        """Supervise until the worker has ended; returns its exit code."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        signal.signal(signal.SIGINT, lambda *_: self._stop())
        with suppress(OSError):
            repair_last_line(self.folder.events)
        self.tail.documents()
        before = read_state(self.folder)
        state = RunState(
            step=before.step if self.resume else 0,
            total_steps=before.total_steps,
            epoch=before.epoch if self.resume else None,
            loss=before.loss if self.resume else None,
            eval_loss=before.eval_loss if self.resume else None,
            supervisor=Process.this(),
            world_size=self.launch.ranks,
            strategy=before.strategy,
            started=before.started or time.time(),
            heartbeat=time.time(),
        )
        status = "starting"
        while True:
            self.kills = kernel_kills()
            self.worker = self._start_worker()
            if self.stops:
                self.worker.send_signal(signal.SIGTERM if self.stops == 1 else STOP_NOW)
            state = replace(state, worker=Process.of(self.worker.pid))
            with suppress(OSError):
                append_event(self.folder, "status", status=status)
            state = self._follow(state)
            if not self._recover():
                return self._finish(state)
            self.resume, status = True, "recovering"

    def _recover(self) -> bool:
        """Apply and record a recovery; return whether there was one to restart the worker with."""
        rank, code = self._first_to_end()
        if self.stops or self.recoveries >= MOST_RECOVERIES:
            return False
        killed = code == -signal.SIGKILL and kernel_kills() > self.kills
        if code == exits.ROLL_BACK:
            found, why = half_the_rate(self.folder), "the loss or the gradient was not a number"
        elif code == exits.OUT_OF_MEMORY or (killed and self.device.kind == "cpu"):
            # With a GPU, host memory holds what is the same for any batch: a restart would go the same way.
            found = find_recovery(self.folder, self.device)
            who = "the worker" if rank is None else f"rank {rank}"
            why = f"the kernel killed {who} for memory" if killed else "out of memory"
            why += "" if killed or rank is None else f" on rank {rank}"
        else:
            return False
        if found is None:
            return False
        try:
            found.apply(self.folder)
            append_event(
                self.folder,
                "recovery",
                before=dict(found.before),
                after=dict(found.after),
                label=found.label,
                why=why,
                attempt=self.recoveries + 1,
                most=MOST_RECOVERIES,
            )
        except OSError:
            return False
        self.recoveries += 1
        return True

    def _start_worker(self) -> subprocess.Popen[bytes]:
        launch = self.launch = self.strategy.launch(self.folder, self.device, resume=self.resume)
        if launch.launcher:
            clear(self.folder, launch.ranks)
        log = os.open(self.folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                launch.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=launch.environment,
                cwd=self.folder.path,
                start_new_session=True,
                # The worker holds the devices' locks too: it may outlive its supervisor.
                pass_fds=self.locks,
            )
        finally:
            os.close(log)

    def _follow(self, state: RunState) -> RunState:
        assert self.worker is not None
        written = -HEARTBEAT_SECONDS
        while True:
            ended = self.worker.poll() is not None
            folded = replace(self._fold(state), stopping=self.stops > 0)
            now = time.monotonic()
            if folded != state or now - written >= HEARTBEAT_SECONDS:
                written = now
                self._write(replace(folded, heartbeat=time.time()))
            state = folded
            if ended:
                return state
            self._read_devices()
            self._wait()

    def _read_devices(self) -> None:
        """Record what each rank's device has been doing, in that rank's own record."""
        assert self.worker is not None
        for rank, watch in enumerate(self.watches):
            process = process_of(self.folder, rank) if self.launch.launcher else None
            pid = self.worker.pid if process is None else process.pid
            if reading := watch.reading(pid):
                with suppress(OSError):
                    append_event(of_rank(self.folder, rank), "device", device=watch.device.uuid, **reading)

    def _first_to_end(self) -> tuple[int | None, int]:
        """Return the rank on account of which all ended, None for a lone worker or the launcher, and its exit code."""
        assert self.worker is not None
        outcome = Outcome.read(self.folder) if self.launch.launcher else None
        return (None, self.worker.returncode) if outcome is None else (outcome.rank, outcome.exit_code)

    def _write(self, state: RunState) -> None:
        """Replace state.json; where a full disk refuses, the next heartbeat tries again."""
        with suppress(OSError):
            write_state(self.folder, state)

    def _fold(self, state: RunState) -> RunState:
        for document in self.tail.documents():
            state = fold(state, document)
        return state

    def _wait(self) -> None:
        assert self.worker is not None
        try:
            self.worker.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            return

    def _finish(self, state: RunState) -> int:
        rank, code = self._first_to_end()
        state = self._fold(state)
        if not state.ended:
            document = event("end", time.time(), **self._unsaid_end(rank, code))
            with suppress(OSError):
                append_line(self.folder.events, document)
            state = fold(state, document)
        name = signal.Signals(-code).name if code < 0 else None
        self._write(replace(state, heartbeat=time.time(), exit_code=code, signal=name, stopping=False))
        for lock in self.locks:
            # The person's command may take minutes, in which the device is free for another run.
            os.close(lock)
        self.locks = ()
        run_on_end(self.folder, state)
        return 0 if state.status in {"finished", "stopped"} else 1

    def _unsaid_end(self, rank: int | None, code: int) -> dict[str, object]:
        if code == exits.OUT_OF_MEMORY:
            remedy = out_of_memory_remedy(self.folder, self.device)
            where = "" if rank is None else f" on rank {rank}"
            return {"status": "failed", "reason": f"out of memory{where}", "remedy": remedy, "exit_code": code}
        if code == exits.ROLL_BACK:
            reason = f"the loss was still not a number after halving the learning rate {self.recoveries} times"
            remedy = "Look at the rows of that step (`lora-wizard data`); train in bf16 or fp32, or at a lower rate."
            return {"status": "failed", "reason": reason, "remedy": remedy, "exit_code": code}
        who = f"rank {rank}" if rank is not None else "the launcher" if self.launch.launcher else "the worker"
        folder, by_kernel = of_rank(self.folder, rank or 0), kernel_kills() > self.kills
        return unsaid_end(code, folder, asked=self.stops > 0, by_kernel=by_kernel, who=who)

    def _stop(self) -> None:
        """Handle a stop signal: the first saves and stops, the second stops at once."""
        self.stops += 1
        if self.worker is not None and self.worker.poll() is None:
            self.worker.send_signal({1: signal.SIGTERM, 2: STOP_NOW}.get(self.stops, signal.SIGKILL))


class AnotherSupervisor(Exception):
    """Another supervisor already has this run: it was resumed twice at once."""


def _take_devices(folder: RunFolder, devices: Iterable[Device], *, allow_busy: bool) -> tuple[int, ...]:
    """Take the lock of each device and return the descriptors; none where no lock is wanted.

    Raises:
        AnotherSupervisor: This very run holds one, or has a supervisor. InputError: Another run holds one.
    """
    known = read_state(folder).supervisor
    if known is not None and known.alive():
        raise AnotherSupervisor
    # Ranks on the CPU share one device, and so its lock.
    taken = () if allow_busy else (_take_device(folder, device) for device in dict.fromkeys(devices))
    return tuple(lock for lock in taken if lock is not None)


def _take_device(folder: RunFolder, device: Device) -> int | None:
    """Take a device's lock and return its descriptor; None where no lock is possible, which is recorded."""
    try:
        lock = take_device(device, str(folder.path))
    except InputError:
        if device_holder(device) == str(folder.path):
            raise AnotherSupervisor from None
        raise
    if lock is None:
        append_event(folder, "warning", message=f"No lock was taken: {weakness(device)}.")
    return lock


def main() -> int:
    """Run as a process of its own."""
    # Whatever worker and libraries write into the run folder is its owner's alone.
    os.umask(0o077)
    sys.stdout, sys.stderr = cast("TextIO", MaskedStream(sys.stdout)), cast("TextIO", MaskedStream(sys.stderr))
    parser = argparse.ArgumentParser(description="Supervise the worker of a run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--allow-busy", action="store_true")
    chosen = parser.parse_args()
    folder = RunFolder(chosen.run.absolute())
    try:
        device = read_device(folder)
        strategy = strategy_for(folder, device)
        devices = strategy.launch(folder, device, resume=chosen.resume).devices
        locks = _take_devices(folder, devices, allow_busy=chosen.allow_busy)
        return Supervisor(folder, device, resume=chosen.resume, locks=locks, strategy=strategy).run()
    except AnotherSupervisor:
        print(f"{folder.id} has a supervisor already, which goes on.", file=sys.stderr)
        return 2
    except (WizardError, OSError, ValueError, KeyError, TypeError) as problem:
        append_event(folder, "end", status="failed", reason=str(problem), exit_code=2)
        write_state(folder, replace(read_state(folder), status="failed", reason=str(problem), heartbeat=time.time()))
        return 2


if __name__ == "__main__":
    sys.exit(main())
