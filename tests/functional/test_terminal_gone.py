"""A terminal that goes away while a program that ignores SIGHUP is drawn in it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from pathlib import Path

from tests.functional.conftest import LORA_WIZARD


def test_the_program_ends_with_its_terminal(tmp_path: Path) -> None:
    """It had read on for ever, at two fifths of a core."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [LORA_WIZARD, "--runs", str(tmp_path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        env=os.environ | {"TERM": "xterm-256color"},
    )
    try:
        os.close(theirs)
        drawn = b""
        while b"lora-wizard" not in drawn:
            drawn += os.read(ours, 65536)
        os.close(ours)
        assert child.wait(timeout=120) == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()
