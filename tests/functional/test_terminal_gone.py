"""A terminal that goes away while a program that ignores SIGHUP is drawn in it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from pathlib import Path

from tests.functional.conftest import LORA_WIZARD
from tests.functional.terminal import PATIENCE


def test_the_program_ends_with_its_terminal(tmp_path: Path) -> None:
    """It had read on for ever, at two fifths of a core."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
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
        while b"Machine" not in drawn:
            assert select.select([ours], [], [], PATIENCE)[0], f"nothing more is drawn: {drawn[-500:]!r}"
            drawn += os.read(ours, 65536)
        os.close(ours)
        assert child.wait(timeout=PATIENCE) == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()
