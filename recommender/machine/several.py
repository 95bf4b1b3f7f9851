"""The devices of a run of several processes: GPUs by what `launch` names, or this CPU for all of them."""

from __future__ import annotations

from presets.errors import InputError
from recommender.config.launch import Launch
from recommender.machine.devices import device_for_gpu
from recommender.machine.facts import Device, Gpu, Machine
from recommender.machine.gpu.unused import usable
from recommender.machine.gpu.visible import visible_gpus
from recommender.units import counted, gib

ALIKE = 0.9
"""Share of the largest card's memory that the smallest must have: each process holds as much as every other one."""


def launch_devices(launch: Launch, processes: int, device: Device, machine: Machine) -> tuple[Device, ...]:
    """Return the device of each process.

    Args:
        launch: Names the GPUs, or leaves them to the machine: then the planned one and those with the most free memory.
        processes: How many on this machine.
        device: What the run was planned for.
        machine: What is here.

    Raises:
        InputError: A GPU that is not here or cannot be used, fewer GPUs than processes, MIG instances, or cards too
            unlike.
    """
    if device.kind == "cpu":
        return (device,) * processes
    here = [gpu for gpu in visible_gpus(machine.gpus) if usable(gpu)]
    if isinstance(launch.gpus, list):
        chosen = [_named(name, here) for name in launch.gpus]
    else:
        others = sorted(here, key=lambda gpu: (gpu.uuid != device.uuid, -(gpu.memory_free or 0)))
        chosen = others[:processes]
    if len(chosen) < processes:
        raise InputError(
            f"The run is of {processes} processes, one a GPU, and this machine has {counted(len(here), 'usable GPU')}.",
            remedy=f"Set launch.processes to {max(1, len(here))} or less.",
        )
    devices = tuple(device_for_gpu(gpu, machine) for gpu in chosen)
    _require_alike(devices)
    return devices


def _named(name: int | str, here: list[Gpu]) -> Gpu:
    for gpu in here:
        if str(name) == str(gpu.index) or (isinstance(name, str) and gpu.uuid.startswith(name)):
            return gpu
    known = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in here) or "none"
    raise InputError(
        f"launch.gpus names {name}, which is no usable GPU of this machine.", remedy=f"These are: {known}."
    )


def _require_alike(devices: tuple[Device, ...]) -> None:
    if len(devices) > 1 and any(device.mig for device in devices):
        raise InputError(
            "Slices of a GPU (MIG) cannot exchange gradients: NCCL takes one slice of a card in a process group.",
            remedy="Set launch.processes and launch.gpus to auto, which trains on one slice.",
        )
    small, large = (choose(devices, key=lambda device: device.total_bytes) for choose in (min, max))
    if small.total_bytes < ALIKE * large.total_bytes:
        raise InputError(
            f"GPU {small.index} ({small.name}) has {gib(small.total_bytes)} and GPU {large.index} ({large.name}) "
            f"{gib(large.total_bytes)}: each process holds as much as every other one, so the larger would stay empty.",
            remedy="Name like cards in launch.gpus, or one of them.",
        )
