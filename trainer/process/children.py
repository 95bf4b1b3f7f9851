"""Child processes that answer with JSON lines and can be cancelled."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from recommender.machine.facts import Device
from trainer.history.tail import Tail
from trainer.process.environment import child_environment, module_command

Cancelled = Callable[[], bool]
GRACE_SECONDS = 5.0
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ChildAnswer:
    """The outcome of a child process."""

    code: int
    """Exit code, negative for a signal."""
    document: dict[str, Any] | None
    """The last JSON object that it printed, None when there was none."""
    errors: str
    """The end of what it printed on stderr."""
    cancelled: bool = False


def ask(
    module: str,
    *arguments: str,
    device: Device | None,
    cancelled: Cancelled = lambda: False,
    environment: Mapping[str, str] | None = None,
) -> ChildAnswer:
    """Run one of our modules in a process of its own and return its last JSON line.

    Args:
        module: Such as 'trainer.worker.measure.probe'.
        arguments: Its arguments.
        device: Which GPU it may see.
        cancelled: Asked a few times a second; ends the child when true.
        environment: Its whole environment, where that is not the one of any child that may see the device.
    """
    said = follow(module, *arguments, device=device, cancelled=cancelled, environment=environment)
    while True:
        try:
            next(said)
        except StopIteration as end:
            answer: ChildAnswer = end.value
            return answer


def follow(
    module: str,
    *arguments: str,
    device: Device | None,
    cancelled: Cancelled = lambda: False,
    environment: Mapping[str, str] | None = None,
) -> Generator[dict[str, Any], None, ChildAnswer]:
    """Run one of our modules in a process of its own, give its JSON lines as they come, and return how it ended.

    Leaving the generator ends the child.

    Args:
        module: Such as 'trainer.models.download'.
        arguments: Its arguments.
        device: Which GPU it may see.
        cancelled: Asked a few times a second; ends the child when true.
        environment: As of `ask`.
    """
    with tempfile.TemporaryDirectory(prefix="lora-wizard-child-") as scratch, tempfile.TemporaryFile() as errors:
        printed = Path(scratch) / "out"
        with printed.open("wb") as out:
            child = subprocess.Popen(
                module_command(module, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                env=child_environment(device) if environment is None else environment,
                start_new_session=True,
            )
        tail, last, stopped = Tail(printed), None, False
        try:
            running = True
            while running and not stopped:
                running, stopped = _runs_on(child), cancelled()
                for last in tail.documents():
                    yield last
        finally:
            _end(child)
        return ChildAnswer(child.returncode, last, _end_of(errors), stopped)


def _runs_on(child: subprocess.Popen[bytes]) -> bool:
    """Wait a moment; return whether the child still runs."""
    with suppress(subprocess.TimeoutExpired):
        child.wait(LOOK_SECONDS)
    return child.poll() is None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child, by its own pid, if it still runs."""
    if child.poll() is None:
        child.terminate()
        began = time.monotonic()
        while child.poll() is None and time.monotonic() - began < GRACE_SECONDS:
            time.sleep(0.05)
        if child.poll() is None:
            child.kill()
    child.wait()


def _end_of(stream: IO[bytes], most: int = 4000) -> str:
    size = stream.seek(0, 2)
    stream.seek(max(0, size - most))
    return stream.read().decode("utf-8", "replace").strip()
