"""Whether a process still runs: by its pid, its start, and its last thread."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import pytest

from trainer.run.identity import Process

LEADERLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""
"""A program whose first thread ends while another goes on: what a killed worker is for its last moments."""


@pytest.fixture
def leaderless() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", LEADERLESS]) as process:
        yield process
        process.kill()


def wait(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.process
def test_a_process_lives_until_its_last_thread_has_ended(leaderless: subprocess.Popen[bytes]) -> None:
    seen = psutil.Process(leaderless.pid)
    process = Process.of(leaderless.pid)
    assert process is not None
    wait(lambda: seen.status() == psutil.STATUS_ZOMBIE)
    assert process.alive()
    leaderless.kill()
    wait(lambda: not process.alive())


def test_a_pid_of_another_start_or_boot_is_another_process() -> None:
    process = Process.this()
    assert process.alive()
    assert not replace(process, start=process.start - 1).alive()
    assert not replace(process, boot="another").alive()
