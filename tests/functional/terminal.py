"""A real pseudo-terminal with the real program in it, read as a person reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pexpect
import pyte

from tests.functional.conftest import LORA_WIZARD

PATIENCE = 600.0
"""Seconds after which a program is taken to hang: a start that takes two takes a hundred beside a dozen others."""


class Terminal:
    """`lora-wizard` in a pseudo-terminal; `text` is what its screen shows now."""

    def __init__(
        self,
        *arguments: str,
        runs: Path,
        columns: int = 120,
        rows: int = 40,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        values = os.environ | {"TERM": "xterm-256color", "LORA_WIZARD_RUNS": str(runs)}
        self.child = pexpect.spawn(
            LORA_WIZARD,
            list(arguments),
            dimensions=(rows, columns),
            env=dict(values | dict(environment or {})),
            cwd=str(cwd or runs.parent),
            timeout=5,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.close(force=True)

    @property
    def text(self) -> str:
        """The lines of the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def read(self, seconds: float = 0.2) -> None:
        """Take in what the program has drawn, waiting at most so long for more."""
        try:
            self.stream.feed(self.child.read_nonblocking(65536, timeout=seconds))
        except (pexpect.TIMEOUT, pexpect.EOF):
            return

    def read_on(self) -> None:
        """Take in all that a program which has ended had drawn: a terminal hands it over in pieces."""
        while True:
            try:
                self.stream.feed(self.child.read_nonblocking(65536, timeout=1))
            except (pexpect.TIMEOUT, pexpect.EOF):
                return

    def wait(self, wanted: str | Callable[[str], bool], seconds: float = PATIENCE) -> str:
        """Read until the screen shows it.

        Raises:
            AssertionError: it does not within that time; holds the screen.
        """
        until = time.monotonic() + seconds
        shown = wanted if callable(wanted) else lambda text: wanted in text
        while not shown(self.text):
            ended = not self.child.isalive()
            self.read_on() if ended else self.read()
            if shown(self.text):
                break
            if ended or time.monotonic() > until:
                why = "the program ended" if ended else f"after {seconds} s"
                raise AssertionError(f"{why}, the screen does not show {wanted!r}:\n{self.text}")
        return self.text

    def press(self, keys: str) -> None:
        """Type these characters."""
        self.child.send(keys)

    def resize(self, columns: int, rows: int) -> None:
        """Change the terminal's size, as a window does."""
        self.screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def wait_exit(self, seconds: float = PATIENCE) -> int:
        """Read until the program ends and return its exit status."""
        until = time.monotonic() + seconds
        while self.child.isalive():
            self.read()
            assert time.monotonic() < until, f"still running:\n{self.text}"
        self.read_on()
        self.child.close()
        return int(self.child.exitstatus if self.child.exitstatus is not None else -(self.child.signalstatus or 0))
