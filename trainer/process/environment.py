"""Command and environment of the worker and of other child processes; nothing of the user's folder is imported."""

from __future__ import annotations

import os
import re
import site
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from recommender.machine.facts import Device

OTHER_LAUNCH: Final = re.compile(
    r"(?:RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|NODE_RANK|GROUP_RANK|MASTER_ADDR|MASTER_PORT)"
    r"|(?:ACCELERATE|FSDP|TORCHELASTIC|PMI|OMPI_COMM_WORLD|MV2_COMM_WORLD)_\w+"
)
"""Variables by which Accelerate and torch take a process for a rank of another launch: of a shell in a batch job, or
below a torchrun of somebody else's."""
PACKAGE_ROOT = Path(__file__).resolve().parents[2]
OURS: Final = ("presets", "recommender", "trainer")
"""The packages that children import."""


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules, whatever lies in the current folder."""
    return [sys.executable, "-m", module, *arguments]


def child_environment(device: Device | None, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a child that imports the training stack.

    A `trainer.py` or a `datasets/` in the user's folder must shadow neither ours nor Hugging Face's: PYTHONSAFEPATH
    keeps the current folder off the path, and it is taken out of PYTHONPATH, of which the rest stays: that may be where
    a cluster keeps its torch. Before the rest stands the folder of the code that runs now (`own_folder`). The GPU is
    named by UUID, because NVML counts in PCI order and CUDA may not. What makes a process a rank of another launch is
    taken out.

    On the processor, torch's threads give their cores away while they wait for each other instead of spinning: libgomp
    takes this count itself where it has more threads than cores of its own
    (https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html), but cannot see another program's. Alone, a
    SmolLM2 step takes as long with it; beside a second such program it took a fifth of the time.
    """
    values = {name: value for name, value in environment.items() if not OTHER_LAUNCH.fullmatch(name)} | {
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        # Whatever the locale: logs are UTF-8, and so is every file that a library reads or writes without saying so.
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }
    others = _other_entries(environment.get("PYTHONPATH", ""))
    values["PYTHONPATH"] = os.pathsep.join([*own_folder(others), *others])
    if device is None or device.kind == "cpu":
        if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(environment):
            values["GOMP_SPINCOUNT"] = "1000"
        return values | {"CUDA_VISIBLE_DEVICES": ""}
    # Reserved memory stays close to allocated with growing segments; not offered under WSL and on unified memory.
    if not device.unified_memory and not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & set(environment):
        values["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    if visible := _visible_name(device):
        values["CUDA_VISIBLE_DEVICES"] = visible
    return values


def _visible_name(device: Device) -> str | None:
    """The device's name in CUDA_VISIBLE_DEVICES: CUDA knows UUIDs by their prefix, which Jetson's driver leaves out."""
    if device.uuid and device.uuid.startswith(("GPU-", "MIG-")):
        return device.uuid
    return str(device.index) if device.index is not None else device.uuid


def _other_entries(path: str) -> list[str]:
    """The absolute folders of a search path that are not the current one."""
    here = Path.cwd()
    return [entry for entry in path.split(os.pathsep) if Path(entry).is_absolute() and Path(entry) != here]


def own_folder(others: Sequence[str], root: Path = PACKAGE_ROOT) -> list[str]:
    """The folder to put first on a child's search path, so that it runs the code of its parent; empty if not needed.

    None where the interpreter finds that code there by itself: its site-packages, put first, would shadow the standard
    library with what old distributions bring (`pip install asyncio` is one).

    Args:
        others: What else stands on PYTHONPATH.
        root: The folder that holds our packages.
    """
    sites = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    found_anyway = str(root) in map(os.path.realpath, sites)
    shadowed = any(Path(entry, name).exists() for entry in others for package in OURS for name in _forms(package))
    return [str(root)] if shadowed or not found_anyway else []


def _forms(package: str) -> tuple[str, str]:
    """Names of the file or folder that an import of this name would find."""
    return package, f"{package}.py"
