"""A child process that learns tapes and stays warm: imports happen once, however many recipes are asked for."""

from __future__ import annotations

import atexit
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from recommender.memory.learned.store import REFUSED
from trainer.history.tail import Tail
from trainer.process.children import Cancelled
from trainer.process.environment import child_environment, module_command

LOOK_SECONDS = 0.05
GRACE_SECONDS = 2.0
FAILED = "failed"
"""Key of the reason why there is no answer, where the machine may be at fault and not the model."""
Progress = Callable[[str, int, int], None]
"""Callback with the phase ('building', 'traces'), and the traces done and expected."""


class WarmChild:
    """`python -m trainer.learn`, started when it is first asked, one order at a time."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._tail = Tail(Path())
        self._one_at_a_time = threading.Lock()

    def ask(self, order: str, progress: Progress | None, cancelled: Cancelled, seconds: float) -> dict[str, Any] | None:
        """The answer to an order: a document with a tape, a refusal, or a failure; None where it was cancelled.

        Args:
            order: A line of JSON (`trainer.trace.order.Order`).
            progress: Told a few times a second.
            cancelled: Asked a few times a second; ends the child when true.
            seconds: After which the child is ended.
        """
        with self._one_at_a_time:
            child = self._started()
            ends = time.monotonic() + seconds
            with suppress(OSError, ValueError):
                assert child.stdin is not None
                child.stdin.write(order + "\n")
                child.stdin.flush()
            while True:
                running = child.poll() is None
                for come in self._tail.documents():
                    if "tape" in come or REFUSED in come or "error" in come:
                        return {REFUSED: come["error"]} | come if "error" in come else come
                    if progress is not None and "phase" in come:
                        progress(str(come["phase"]), int(come["done"]), int(come["total"]))
                if cancelled():
                    self.end()
                    return None
                if not running or time.monotonic() > ends:
                    why = f"its process ended ({child.returncode})" if not running else f"it took over {seconds:.0f} s"
                    self.end()
                    return {FAILED: f"The memory of this model was not learned: {why}."}
                time.sleep(LOOK_SECONDS)

    def end(self) -> None:
        """End the child, if there is one; it is started again when it is asked."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(OSError):
                if child.stdin is not None:
                    child.stdin.close()
            child.terminate()
            try:
                child.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _started(self) -> subprocess.Popen[str]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self.end()
        self._folder = tempfile.TemporaryDirectory(prefix="lora-wizard-learn-")
        printed = Path(self._folder.name) / "out"
        self._tail = Tail(printed)
        with printed.open("wb") as out:
            self._child = subprocess.Popen(
                module_command("trainer.learn"),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.DEVNULL,
                env=child_environment(None),
                start_new_session=True,
                text=True,
                encoding="utf-8",
            )
        return self._child


CHILD = WarmChild()
"""This process's own."""
atexit.register(CHILD.end)
