"""The process between dashboard and worker: it outlives every terminal and says how the worker ended.

`python -m trainer.supervisor RUN [--resume]`. It is the only writer of state.json while it lives, holds the
device's lock, imports no torch, ignores SIGHUP, and passes SIGTERM on.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from presets.errors import WizardError
from recommender.machine.facts import Device
from trainer.device_watch import DeviceWatch
from trainer.environment import child_environment, module_command
from trainer.events import HEARTBEAT_SECONDS, event
from trainer.lock import acquire, lock_path
from trainer.processes import Process
from trainer.runfolder import RunFolder, append_line, record
from trainer.state import RunState, fold, read_state, write_state
from trainer.tail import Tail, last_lines

POLL_SECONDS = 0.25


class Supervisor:
    """Starts one worker, folds its events into state.json, and records its end."""

    def __init__(self, folder: RunFolder, device: Device, *, resume: bool, lock: int | None = None) -> None:
        self.lock = lock
        self.folder = folder
        self.device = device
        self.resume = resume
        self.tail = Tail(folder.events)
        self.watch = DeviceWatch(device)
        self.worker: subprocess.Popen[bytes] | None = None
        self.stops = 0

    def run(self) -> int:
        """Supervise until the worker has ended; returns its exit code."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        signal.signal(signal.SIGINT, lambda *_: self._stop())
        self.tail.documents()
        before = read_state(self.folder)
        state = RunState(
            step=before.step if self.resume else 0,
            total_steps=before.total_steps,
            supervisor=Process.this(),
            started=before.started or time.time(),
            heartbeat=time.time(),
        )
        self.worker = self._start_worker()
        if self.stops:
            self.worker.terminate()
        state = replace(state, worker=Process.of(self.worker.pid))
        record(self.folder, "status", status="starting")
        state = self._follow(state)
        return self._finish(state)

    def _start_worker(self) -> subprocess.Popen[bytes]:
        command = module_command("trainer.worker", str(self.folder.path), *(["--resume"] if self.resume else []))
        log = os.open(self.folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=child_environment(self.device),
                cwd=self.folder.path,
                start_new_session=True,
                # The worker holds the device's lock too: it may outlive its supervisor.
                pass_fds=() if self.lock is None else (self.lock,),
            )
        finally:
            os.close(log)

    def _follow(self, state: RunState) -> RunState:
        assert self.worker is not None
        written = -HEARTBEAT_SECONDS
        while True:
            ended = self.worker.poll() is not None
            folded = self._fold(state)
            now = time.monotonic()
            if folded != state or now - written >= HEARTBEAT_SECONDS:
                written = now
                self._write(replace(folded, heartbeat=time.time()))
            state = folded
            if ended:
                return state
            if reading := self.watch.reading(self.worker.pid):
                with suppress(OSError):
                    record(self.folder, "device", **reading)
            self._wait()

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
        assert self.worker is not None
        code = self.worker.returncode
        state = self._fold(state)
        if not state.ended:
            document = event("end", time.time(), **_unsaid_end(code, self.folder, asked=self.stops > 0))
            with suppress(OSError):
                append_line(self.folder.events, document)
            state = fold(state, document)
        name = signal.Signals(-code).name if code < 0 else None
        self._write(replace(state, heartbeat=time.time(), exit_code=code, signal=name))
        return 0 if state.status in {"finished", "stopped"} else 1

    def _stop(self) -> None:
        """First: save and stop. Second: stop now."""
        self.stops += 1
        if self.worker is not None and self.worker.poll() is None:
            self.worker.send_signal(signal.SIGTERM if self.stops < 3 else signal.SIGKILL)


def _unsaid_end(code: int, folder: RunFolder, *, asked: bool) -> dict[str, object]:
    """The end event of a worker that could not write its own: it was killed, or died in a library.

    Args:
        code: Its exit code, negative for a signal.
        folder: The run.
        asked: Whether this supervisor had been asked to stop; before it listens, a signal ends a worker at once.
    """
    if asked and code in (-signal.SIGTERM, -signal.SIGKILL):
        return {"status": "stopped", "reason": "stopped at once, as asked", "exit_code": code}
    log = last_lines(folder.log, 1)
    last = f"; the log ends with: {log[0].strip()[:200]}" if log else ""
    if code < 0:
        name = signal.Signals(-code).name
        why = f"the worker was killed by {name}"
        remedy = (
            "SIGKILL is what the kernel sends when the host's memory is used up. `lora-wizard resume` continues from "
            "the last checkpoint; leave more host memory free if it happens again."
            if name == "SIGKILL"
            else "`lora-wizard resume` continues from the last checkpoint."
        )
        return {"status": "failed", "reason": why + last, "remedy": remedy, "signal": name, "exit_code": code}
    return {
        "status": "failed",
        "reason": f"the worker ended with exit code {code}{last}",
        "remedy": f"{folder.log} has everything that it printed.",
        "exit_code": code,
    }


def read_device(folder: RunFolder) -> Device:
    """The device that the run was launched for, from plan.json."""
    raw = json.loads(folder.plan.read_text(encoding="utf-8"))["device"]
    if capability := raw.get("compute_capability"):
        raw["compute_capability"] = tuple(capability)
    return Device(**raw)


def main() -> int:
    """Run as a process of its own."""
    # Whatever worker and libraries write into the run folder is its owner's alone.
    os.umask(0o077)
    parser = argparse.ArgumentParser(description="Supervise the worker of a run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--allow-busy", action="store_true")
    chosen = parser.parse_args()
    folder = RunFolder(chosen.run.absolute())
    try:
        device = read_device(folder)
        lock = None if chosen.allow_busy else acquire(lock_path(device), folder.id)
        return Supervisor(folder, device, resume=chosen.resume, lock=lock).run()
    except (WizardError, OSError, ValueError, KeyError, TypeError) as problem:
        record(folder, "end", status="failed", reason=str(problem), exit_code=2)
        write_state(folder, replace(read_state(folder), status="failed", reason=str(problem), heartbeat=time.time()))
        return 2


if __name__ == "__main__":
    sys.exit(main())
