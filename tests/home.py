"""A home folder for each test, and a watch over the places of the person's own that no test may touch."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from recommender import paths

ROOT = "TESTS_OF_LORA_WIZARD_ROOT"
"""Names the session's folder to its children: the workers of pytest-xdist, and a session inside a test."""
OWN = "TESTS_OF_LORA_WIZARD_OWN"
"""Names the places that are the person's own to these children, divided by `os.pathsep`."""

# What would lead the program out of its home, or make it look or behave as it does for this person alone.
_PREFIXES = ("XDG_", "HF_", "HUGGING", "TRANSFORMERS_", "LORA_WIZARD_", "WANDB_")
_NAMES = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TMUX", "SSH_CONNECTION", "SSH_TTY", "NO_PROXY", "no_proxy")
_KEPT = ("LORA_WIZARD_DEMO_WHEEL",)

_EVENTS = {
    **dict.fromkeys(("open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rmdir"), 1),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink"), 2),
}
"""Audit events that name files, and how many (https://docs.python.org/3/library/audit_events.html)."""

_STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}

_numbers = count()


def own_places(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Folders of the person who runs the tests: runs, caches, state, settings and the Hugging Face home."""
    home = Path.home()
    places = {
        paths.runs_dir(environment),
        paths.cache_dir(environment),
        paths.state_dir(environment),
        paths.model_cache_dir(environment),
        Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / paths.APP,
        Path(environment.get("HF_HOME") or home / ".cache" / "huggingface"),
    }
    return tuple(sorted(map(str, places)))


def leave_home() -> tuple[Path, tuple[str, ...], bool]:
    """Give this process a home in the session's folder.

    Returns:
        The session's folder; the places that were the person's own; whether this process made the folder.
    """
    first = ROOT not in os.environ
    if first:
        os.environ[OWN] = os.pathsep.join(own_places(os.environ))
        os.environ[ROOT] = tempfile.mkdtemp(prefix="lora-wizard-tests-")
    root = Path(os.environ[ROOT])
    for name in [*os.environ]:
        if (name.startswith(_PREFIXES) and name not in _KEPT) or name in _NAMES:
            del os.environ[name]
    home = root / f"process-{os.getpid()}"
    home.mkdir(exist_ok=True)
    os.environ["HOME"] = str(home)
    return root, tuple(os.environ[OWN].split(os.pathsep)), first


@contextmanager
def fresh_home(root: Path) -> Iterator[Path]:
    """An empty folder for one test's home, removed behind it."""
    home = root / f"{os.getpid()}-{next(_numbers)}"
    home.mkdir()
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def watch(places: tuple[str, ...]) -> list[str]:
    """Collect what this process opens, lists, makes or removes in these places, from now on.

    Collected and not refused: what cannot be opened is often taken for what is not there.
    """
    touched: list[str] = []
    below = tuple(place.rstrip("/") + "/" for place in places)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in _EVENTS:
            named = map(_absolute, arguments[: _EVENTS[event]])
            touched.extend(f"{event} {path}" for path in named if (path + "/").startswith(below))

    sys.addaudithook(hook)
    return touched


def watch_processes() -> list[str]:
    """Collect the programs that this process starts, from now on."""
    started: list[str] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in _STARTS:
            started.append(f"{event} {arguments[:1]}")

    sys.addaudithook(hook)
    return started


def _absolute(path: object) -> str:
    """What an audit event names, or nothing where that is an open file or relative to a folder that has gone."""
    if not isinstance(path, str | bytes):
        return ""
    text = os.fsdecode(path)
    try:
        return text if text.startswith("/") else os.path.abspath(text)  # noqa: PTH100 - this runs at each open
    except FileNotFoundError:
        return ""
