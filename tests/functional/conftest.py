"""The real program, run as a person runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.picture import assert_picture

__all__ = ["assert_picture"]

LORA_WIZARD = str(Path(sys.executable).with_name("lora-wizard"))

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `lora-wizard` with these arguments, its runs in the test's own folder, no terminal."""

    def call(*arguments: object, cwd: Path = tmp_path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"LORA_WIZARD_RUNS": str(tmp_path / "runs")}
        return subprocess.run(
            [LORA_WIZARD, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return call


def assert_bad_input(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit 2, nothing on stdout, one message on stderr that holds the words, and no traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1, done.stderr
    for word in words:
        assert word in done.stderr, (word, done.stderr)
