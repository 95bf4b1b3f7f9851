"""Paths of runs, cache and state, read from the environment at each call: a test or `--runs` can change them.

Nothing here creates a folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from presets.errors import InputError

APP = "lora-wizard"


def runs_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of run folders: `LORA_WIZARD_RUNS`, else `$XDG_DATA_HOME/lora-wizard/runs`."""
    chosen = environment.get("LORA_WIZARD_RUNS")
    return _absolute(chosen) if chosen else _xdg(environment, "XDG_DATA_HOME", ".local/share") / APP / "runs"


def cache_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Cache of what can be made again: token profiles, the converted demo model. `$XDG_CACHE_HOME/lora-wizard`."""
    return _xdg(environment, "XDG_CACHE_HOME", ".cache") / APP


def state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Measurements made on this machine and the program's own log: `$XDG_STATE_HOME/lora-wizard`."""
    return _xdg(environment, "XDG_STATE_HOME", ".local/state") / APP


def model_cache_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """The Hugging Face hub cache, found as huggingface_hub finds it, without importing that package.

    `HF_HUB_CACHE`, else the older `HUGGINGFACE_HUB_CACHE`, else `$HF_HOME/hub`, else
    `$XDG_CACHE_HOME/huggingface/hub`. A test compares this with `huggingface_hub.constants.HF_HUB_CACHE`.
    """
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if chosen := environment.get(name):
            return _absolute(chosen)
    home = environment.get("HF_HOME")
    root = _absolute(home) if home else _xdg(environment, "XDG_CACHE_HOME", ".cache") / "huggingface"
    return root / "hub"


def expanded(path: str | Path) -> Path:
    """Replace `~` in a typed path by a home folder where there is such a user; leave it otherwise."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _home() -> Path:
    """The person's home folder.

    Raises:
        InputError: HOME is not set, and the user has no entry to read it from (a container with a bare user id).
    """
    try:
        return Path.home()
    except RuntimeError:
        raise InputError(
            f"There is no home folder: HOME is not set, and user {os.getuid()} has no entry in /etc/passwd.",
            remedy="Set HOME to a folder that can be written: export HOME=/tmp/home.",
        ) from None


def _xdg(environment: Mapping[str, str], name: str, default: str) -> Path:
    chosen = environment.get(name)
    return _absolute(chosen) if chosen else _home() / default


def _absolute(text: str) -> Path:
    return expanded(os.path.expandvars(text)).absolute()
