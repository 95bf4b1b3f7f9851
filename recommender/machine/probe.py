"""Probe of this machine: all facts once, its GPUs again and again."""

from __future__ import annotations

import atexit
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from recommender.machine.capability import version
from recommender.machine.diagnostics import diagnostics
from recommender.machine.facts import Gpu, Machine, NvmlState
from recommender.machine.gpu.accelerators import accelerators
from recommender.machine.gpu.nvml import Nvml
from recommender.machine.gpu.unused import passed_over
from recommender.machine.host.host import read_host
from recommender.machine.software import read_software


def probe(runs_dir: Path | None = None, nvml: Nvml | None = None) -> Machine:
    """All facts about this machine. Takes some tens of milliseconds; imports nothing of the training stack.

    Args:
        runs_dir: Where run folders go, for the disk behind it; the default place if not given.
        nvml: A reader to use instead of the process's own.
    """
    reader = nvml or _shared()
    gpus, state = reader.poll()
    versions = reader.versions()
    host = read_host(runs_dir)
    software = read_software(versions.driver, versions.cuda)
    machine = Machine(gpus, state, host, software, accelerators=accelerators())
    return replace(machine, diagnostics=diagnostics(gpus, state, host, software, unused=passed_over(machine)))


def poll_gpus() -> tuple[tuple[Gpu, ...], NvmlState]:
    """The GPUs now. Cheap: the library stays open between calls, and calls from several threads take turns."""
    return _shared().poll()


def gpu_now(uuid: str | None) -> Gpu | None:
    """The GPU or MIG instance with this UUID as it is now; None when the driver does not list it."""
    return next((gpu for gpu in poll_gpus()[0] if gpu.uuid == uuid), None) if uuid else None


def document(machine: Machine) -> dict[str, Any]:
    """The JSON document of `probe --json`."""
    host, software = asdict(machine.host), asdict(machine.software)
    for disk in host["disks"]:
        for key in ("path", "mount", "suggestion"):
            disk[key] = str(disk[key]) if disk[key] is not None else None
    return {
        "gpus": [_gpu_document(gpu) for gpu in machine.gpus],
        "accelerators": [asdict(found) for found in machine.accelerators],
        "nvml": {"status": str(machine.nvml.status), "message": machine.nvml.message, "remedy": machine.nvml.remedy},
        "host": host,
        "software": software,
        "notices": [asdict(found) for found in machine.diagnostics],
    }


def _gpu_document(gpu: Gpu) -> dict[str, Any]:
    capability = gpu.compute_capability
    return asdict(gpu) | {
        "compute_capability": version(capability) if capability else None,
        "bf16": gpu.bf16,
    }


@cache
def _shared() -> Nvml:
    """This process's reader; shut down when the process ends."""
    reader = Nvml()
    atexit.register(reader.close)
    return reader
