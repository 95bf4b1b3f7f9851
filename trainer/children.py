"""Child processes that answer with JSON lines and can be cancelled."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from recommender.machine.facts import Device
from trainer.environment import child_environment, module_command

Cancelled = Callable[[], bool]
GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ChildAnswer:
    """How a child ended."""

    code: int
    """Exit code, negative for a signal."""
    document: dict[str, Any] | None
    """The last JSON object that it printed, None when there was none."""
    errors: str
    """The end of what it printed on stderr."""
    cancelled: bool = False


def ask(module: str, *arguments: str, device: Device | None, cancelled: Cancelled = lambda: False) -> ChildAnswer:
    """Run one of our modules in a process of its own and return its last JSON line.

    Args:
        module: Such as 'trainer.worker.probe'.
        arguments: Its arguments.
        device: Which GPU it may see.
        cancelled: Asked a few times a second; ends the child when true.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            module_command(module, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            env=child_environment(device),
            start_new_session=True,
        )
        stopped = _wait(child, cancelled)
        return ChildAnswer(child.returncode, _last_object(out), _end_of(errors), stopped)


def _wait(child: subprocess.Popen[bytes], cancelled: Cancelled) -> bool:
    """Wait for its end; end it when asked to, by its own pid. Returns whether it was cancelled."""
    try:
        while True:
            try:
                child.wait(0.2)
                return False
            except subprocess.TimeoutExpired:
                if cancelled():
                    return True
    finally:
        if child.poll() is None:
            child.terminate()
            began = time.monotonic()
            while child.poll() is None and time.monotonic() - began < GRACE_SECONDS:
                time.sleep(0.05)
            if child.poll() is None:
                child.kill()
            child.wait()


def _last_object(stream: IO[bytes]) -> dict[str, Any] | None:
    stream.seek(0)
    for line in reversed(stream.read().decode("utf-8", "replace").splitlines()):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict):
            return document
    return None


def _end_of(stream: IO[bytes], most: int = 4000) -> str:
    size = stream.seek(0, 2)
    stream.seek(max(0, size - most))
    return stream.read().decode("utf-8", "replace").strip()
