"""A chat with a run's base and tuned model side by side; the models live in a child process."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from presets.errors import InputError, NoError
from recommender.config.io import load_config
from trainer.process.environment import child_environment, module_command
from trainer.run.adapter import require_adapter
from trainer.run.base_model import BaseMatch, check_base, find_base
from trainer.run.folder import RunFolder
from trainer.run.plan_file import read_device

MOST_TOKENS = 256
"""Of an answer."""


class Chat:
    """A pair of models, loaded while the context is open.

    Args:
        run: The run's folder; its adapter must be there.
        base: Where its base lies now, where that is not what the configuration names.
        allow_changed_base: Whether another base than the one that it was trained over is agreed to.

    Attributes:
        held: How the base is to the one that the run was trained over; known once the context is open.
    """

    def __init__(self, run: Path, *, base: str | None = None, allow_changed_base: bool = False) -> None:
        self.folder = RunFolder(run)
        self.held: BaseMatch = "unknown"
        self._base, self._allow_changed_base = base, allow_changed_base

    def __enter__(self) -> Self:
        """Start the child.

        Raises:
            InputError: No adapter, or a base that is not there or not the one that it was trained over.
        """
        require_adapter(self.folder)
        config = load_config(self.folder.effective_config)
        spec = find_base(self.folder, config, self._base)
        self.held = check_base(self.folder, spec, allow_changed=self._allow_changed_base)
        self._errors = tempfile.TemporaryFile()
        self._child = subprocess.Popen(
            module_command("trainer.worker.after.chat", str(self.folder.path), *([self._base] if self._base else [])),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=child_environment(read_device(self.folder)),
            encoding="utf-8",
            start_new_session=True,
        )
        try:
            self._next()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child."""
        self._child.kill()
        self._child.communicate()
        self._errors.close()

    def ask(self, prompt: str, *, most: int = MOST_TOKENS, forget: bool = False) -> Iterator[tuple[str, str]]:
        """Send a prompt to both models.

        Args:
            prompt: What is asked.
            most: Tokens of each answer at most.
            forget: Begin a new conversation with it.

        Yields:
            'base' or 'tuned', and the next piece of its answer.

        Raises:
            NoError: The child died.
        """
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps({"prompt": prompt, "most": most, "forget": forget}) + "\n")
            self._child.stdin.flush()
        except OSError:
            self._died()
        while "done" not in (said := self._next()):
            yield said["side"], said["text"]

    def _next(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            self._died()
        document: dict[str, Any] = json.loads(line)
        if "error" in document:
            raise InputError(document["error"], remedy=document["remedy"])
        return document

    def _died(self) -> None:
        self._child.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        why = lines[-1][:300] if lines else f"exit code {self._child.returncode}"
        raise NoError(f"The models could not be run: {why}", remedy="Is the device free? `lora-wizard runs` shows it.")
