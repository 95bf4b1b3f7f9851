"""GPUs that are here and not used, with reason and remedy. Training never falls back on the CPU silently."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from recommender.machine.facts import Accelerator, Gpu, Machine, NvmlState, NvmlStatus
from recommender.machine.gpu.visible import VARIABLE, visible_gpus

CPU_WANTED = "LORA_WIZARD_CPU"
"""Set to 1, it says that the CPU is what is wanted."""
PROVE_A_GPU = frozenset({NvmlStatus.VERSION_MISMATCH, NvmlStatus.NO_PERMISSION, NvmlStatus.GPU_LOST, NvmlStatus.ERROR})
"""States that need a loaded driver; its library alone may be here without any GPU, for a monitor."""
UNMEASURED = "The driver does not say how much memory it has."


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A GPU of this machine that is not used."""

    text: str
    """Names it and says why, in one or two sentences."""
    remedy: str
    """The way to make it usable, and the way to choose the CPU."""
    level: Literal["warn", "fail"] = "fail"
    """'fail' where something is broken, 'warn' where this program has no use for it."""


def cpu_is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the person has chosen the CPU, whatever else is here."""
    return environment.get(CPU_WANTED) == "1"


def usable(gpu: Gpu) -> bool:
    """Whether a GPU that NVML lists can be trained on: it can be read, and its memory is known."""
    from presets.gpus import match_gpu

    known = gpu.memory_total or gpu.memory_shared or match_gpu(gpu.name) is not None
    return not gpu.problem and bool(known)


def passed_over(machine: Machine, environment: Mapping[str, str] = os.environ) -> PassedOver | None:
    """The GPU that stays unused where the CPU is taken by default; None where there is none, or none is wanted.

    Args:
        machine: What the probe found.
        environment: CUDA_VISIBLE_DEVICES and LORA_WIZARD_CPU.
    """
    left = visible_gpus(machine.gpus, environment)
    hidden = VARIABLE in environment and not left
    if cpu_is_wanted(environment) or hidden or any(usable(gpu) for gpu in left):
        return None
    if left:
        return _unusable(left[0], machine.nvml)
    return _unlisted(machine.nvml, machine.accelerators)


def _unusable(gpu: Gpu, nvml: NvmlState) -> PassedOver:
    if gpu.problem:
        instance = "Make one (`nvidia-smi mig -lgip` lists the kinds), or switch MIG mode off." if gpu.mig else ""
        return _here(gpu.name, gpu.problem, nvml.remedy or instance)
    return _here(
        gpu.name,
        UNMEASURED,
        "See what `nvidia-smi -q -d MEMORY` says; a container needs the driver's utilities "
        "(NVIDIA_DRIVER_CAPABILITIES=compute,utility).",
    )


def _unlisted(nvml: NvmlState, accelerators: tuple[Accelerator, ...]) -> PassedOver | None:
    """The device that the kernel lists and NVML does not, NVIDIA's first: that one can be repaired."""
    nvidia = [found for found in accelerators if found.maker == "NVIDIA"]
    if nvidia or nvml.status in PROVE_A_GPU:
        return _here(nvidia[0].described if nvidia else "An NVIDIA GPU", nvml.message, nvml.remedy)
    if not accelerators:
        return None
    other = accelerators[0]
    through = {"AMD": " (ROCm)", "Apple": " (MPS)", "Intel": " (XPU)"}.get(other.maker, "")
    why = f"this program trains on NVIDIA GPUs (CUDA) and on processors, not on {other.maker}'s GPUs{through}."
    return _here(other.described, why, "", "warn")


def _here(name: str, why: str, remedy: str, level: Literal["warn", "fail"] = "fail") -> PassedOver:
    return PassedOver(f"{name} is here and not used: {why}", f"{remedy} {CPU_WANTED}=1 takes this CPU.".strip(), level)
