"""Bounds of the process that builds a class without weights: its processor time and its memory."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recommender.units import gib

MOST_SECONDS = 60
"""Of processor time: 3 to 6 are usual, nearly all of them imports; a busy machine does not count."""
MOST_BYTES = 12 * 2**30
"""Of memory: a class on meta takes under one GiB."""


def bound(say: Callable[[dict[str, Any]], None], most: int = MOST_BYTES, seconds: int = MOST_SECONDS) -> None:
    """Let this process end when it takes more: at the time by SIGXCPU, at the memory with a document of its own.

    Args:
        say: Prints a document.
        most: Bytes.
        seconds: Of processor time.
    """
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    threading.Thread(target=_watch, args=(say, most), daemon=True).start()


def _watch(say: Callable[[dict[str, Any]], None], most: int) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    while True:
        with contextlib.suppress(OSError, ValueError):
            held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * page
            if held > most:
                say(
                    {
                        "error": f"Building this model without its weights took more than {gib(most)} of memory.",
                        "remedy": "Its config.json describes no ordinary model: choose another.",
                    }
                )
                os._exit(2)
        time.sleep(0.2)
