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
    keeps the current folder off the path, and it is taken out of PYTHONPATH, of which the rest stays: that may be where
    a cluster keeps its torch. The GPU is named by UUID, because NVML counts in PCI order and CUDA may not.

    On the processor, torch's threads give their cores away while they wait for each other instead of spinning: libgomp
    takes this count itself where it has more threads than cores of its own
    (https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html), but cannot see another program's. Alone, a
    SmolLM2 step takes as long with it; beside a second such program it took a fifth of the time.
    """
    values = dict(environment) | {
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }
    path = [*([] if _installed() else [str(PACKAGE_ROOT)]), *_elsewhere(environment.get("PYTHONPATH", ""))]
    values["PYTHONPATH"] = os.pathsep.join(path)
    if device is None or device.kind == "cpu":
        if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(environment):
            values["GOMP_SPINCOUNT"] = "1000"
        return values | {"CUDA_VISIBLE_DEVICES": ""}
    # Reserved memory stays close to allocated with growing segments; not offered under WSL and on unified memory.
    if not device.unified_memory and not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & set(environment):
        values["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    if device.uuid:
        values["CUDA_VISIBLE_DEVICES"] = device.uuid
    return values


def _elsewhere(path: str) -> list[str]:
    """The absolute folders of a search path that are not the current one."""
    here = Path.cwd()
    return [entry for entry in path.split(os.pathsep) if Path(entry).is_absolute() and Path(entry) != here]


def _installed() -> bool:
    """Whether this package is found without help: installed, or editable."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("lora-wizard")
    except PackageNotFoundError:
        return False
    return True
