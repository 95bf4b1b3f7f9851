"""How the worker and its kin are started: which interpreter, which environment, nothing of the user's folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from recommender.machine.facts import Device

PACKAGE_ROOT = Path(__file__).resolve().parent.parent


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules, whatever lies in the current folder."""
    return [sys.executable, "-m", module, *arguments]


def child_environment(device: Device | None, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a child that imports the training stack.

    A `trainer.py` or a `datasets/` in the user's folder must shadow neither ours nor Hugging Face's: PYTHONSAFEPATH
    keeps the current folder off the path. The GPU is named by UUID, because NVML counts in PCI order and CUDA may not.
    """
    values = {key: value for key, value in environment.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    values |= {
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }
    if not _installed():
        values["PYTHONPATH"] = str(PACKAGE_ROOT)
    if device is None or device.kind == "cpu":
        return values | {"CUDA_VISIBLE_DEVICES": ""}
    # Reserved memory stays close to allocated with growing segments; not offered under WSL and on unified memory.
    values["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    if device.uuid:
        values["CUDA_VISIBLE_DEVICES"] = device.uuid
    return values


def _installed() -> bool:
    """Whether this package is found without help: installed, or editable."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("lora-wizard")
    except PackageNotFoundError:
        return False
    return True
