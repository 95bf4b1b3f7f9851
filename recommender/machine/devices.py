"""The device of a plan, made from a GPU, this CPU, the catalogue or a memory size."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace

from presets.errors import InputError
from presets.gpus import GpuFacts, driver_share, find_gpu, match_gpu
from recommender.machine.capability import ASSUMED, FLASH_FROM, has_bf16
from recommender.machine.facts import Device, Gpu, Machine, Software
from recommender.machine.gpu.unused import cpu_is_wanted, passed_over, usable
from recommender.machine.gpu.visible import visible_gpus

_GIB = 2**30
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SMALLEST_PLAIN = 2**20


def device_for_gpu(gpu: Gpu, machine: Machine) -> Device:
    """The device of a GPU that NVML reports; its rates come from the catalogue by name, None where it has none.

    Free memory is NVML's. Where NVML does not measure it (unified memory: GB10, Jetson) it is what the host can give:
    MemAvailable, because CUDA's own figure leaves out what the page cache would give back
    (https://nvidia.custhelp.com/app/answers/detail/a_id/5728).

    Raises:
        InputError: If the GPU cannot be read any more, or nobody knows how much memory it has.
    """
    if gpu.problem:
        raise InputError(f"GPU {gpu.index} ({gpu.name}) cannot be used: {gpu.problem}", remedy="Choose another GPU.")
    facts = match_gpu(gpu.name, None if gpu.mig else gpu.memory_total)
    total, free, unified = _memory(gpu, facts, machine)
    capability = gpu.compute_capability or (facts.compute_capability if facts else None)
    share = min(1.0, total / facts.total_bytes) if facts and gpu.mig else 1.0
    return Device(
        kind="cuda",
        name=gpu.name,
        free_bytes=free,
        total_bytes=total,
        compute_capability=capability,
        bandwidth=facts.bandwidth * share if facts else None,
        flops_bf16=_scaled(facts.flops_bf16 if facts else None, gpu.compute_share),
        flops_fp16=_scaled(facts.flops_fp16 if facts else None, gpu.compute_share),
        flops_fp32=_scaled(facts.flops_fp32 if facts else None, gpu.compute_share),
        bf16=has_bf16(capability),
        unified_memory=unified,
        mig=bool(gpu.mig),
        uuid=gpu.uuid,
        index=gpu.index,
        flash_attention=_flash_attention(machine.software, capability),
        torch_version=machine.software.versions.get("torch"),
        driver=machine.software.driver,
    )


def device_for_cpu(machine: Machine) -> Device:
    """This machine's processor: free memory is what the cgroup (or the host) leaves. Its speed is not known here."""
    host = machine.host
    return Device(
        kind="cpu",
        name=host.cpu.name,
        free_bytes=host.ram_available,
        total_bytes=host.ram_total,
        bf16=host.cpu.bf16,
        cores=host.cpu.cores,
        torch_version=machine.software.versions.get("torch"),
    )


def device_from_catalogue(name: str, machine: Machine | None = None) -> Device:
    """A what-if card, idle: its free memory is `GpuFacts.free_bytes`.

    Args:
        name: As a person types it ('4090', 'a100-80gb').
        machine: Where given, its torch and flash-attn are assumed to be there too.

    Raises:
        InputError: If there is no name, or the catalogue has no such card; offers the nearest.
    """
    if not name.strip():
        raise InputError("No GPU was given.", remedy="Names look like 'RTX 4090', 'A100 80GB' or 'L4'.")
    facts = find_gpu(name)
    software = machine.software if machine else None
    return Device(
        kind="cuda",
        name=facts.name,
        free_bytes=facts.free_bytes,
        total_bytes=facts.total_bytes,
        compute_capability=facts.compute_capability,
        bandwidth=facts.bandwidth,
        flops_bf16=facts.flops_bf16,
        flops_fp16=facts.flops_fp16,
        flops_fp32=facts.flops_fp32,
        bf16=has_bf16(facts.compute_capability),
        unified_memory=facts.kind == "unified",
        simulated=True,
        flash_attention=_flash_attention(software, facts.compute_capability),
        torch_version=software.versions.get("torch") if software else None,
    )


def device_from_memory(nbytes: int) -> Device:
    """A card known only by its size: compute capability 8.0 assumed, rates and so time unknown.

    Args:
        nbytes: The card's size in bytes; the driver's share comes off, as it does from a catalogue card.

    Raises:
        InputError: If it is less than a driver takes for itself.
    """
    free = nbytes - driver_share(nbytes)
    if free <= 0:
        raise InputError(
            f"A GPU with {nbytes / _GIB:.2f} GiB is smaller than what its driver takes for itself.",
            remedy="Give the card's size, such as --gpu-memory 24GiB.",
        )
    return Device(
        kind="cuda",
        name=f"{nbytes / _GIB:g} GiB GPU",
        free_bytes=free,
        total_bytes=nbytes,
        compute_capability=ASSUMED,
        bf16=True,
        simulated=True,
    )


def default_device(machine: Machine, environment: Mapping[str, str] = os.environ) -> Device:
    """The device to plan for when none is chosen: the working GPU with the most free memory, else this CPU.

    Only GPUs that CUDA_VISIBLE_DEVICES leaves to this process are taken, and none where LORA_WIZARD_CPU=1 says so.
    The device of the CPU names a GPU that is here and cannot be used.
    """
    found = [] if cpu_is_wanted(environment) else filter(usable, visible_gpus(machine.gpus, environment))
    devices = [device_for_gpu(gpu, machine) for gpu in found]
    if devices:
        return max(devices, key=lambda device: device.free_bytes)
    unused = passed_over(machine, environment)
    return replace(device_for_cpu(machine), passed_over=unused.text if unused else "")


def parse_bytes(text: str) -> int:
    """Read a size such as '24GiB', '24 GB', '24g', '23034MiB' or a plain number of bytes.

    GB is taken as 2^30 as GPU vendors do. A small plain number is refused, because it could be meant either way.

    Raises:
        InputError: If it is not a positive size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])i?b?|b|)\s*", text, flags=re.IGNORECASE)
    if match is None:
        raise InputError(f"{text!r} is not a size.", remedy="Write it with its unit, such as 24GiB or 23034MiB.")
    number, unit = float(match[1]), match[2]
    nbytes = int(number * _UNITS[unit.lower()]) if unit else int(number)
    if nbytes <= 0:
        raise InputError(f"A size must be more than 0, not {text!r}.", remedy="Write it such as 24GiB.")
    if unit is None and nbytes < _SMALLEST_PLAIN:
        raise InputError(
            f"{text!r} lacks its unit: as bytes it would be less than 1 MiB.", remedy=f"Write {match[1]}GiB."
        )
    return nbytes


def _memory(gpu: Gpu, facts: GpuFacts | None, machine: Machine) -> tuple[int, int, bool]:
    """Total and free bytes, and whether they are the host's."""
    if gpu.memory_total:
        free = gpu.memory_total - driver_share(gpu.memory_total) if gpu.memory_free is None else gpu.memory_free
        return gpu.memory_total, free, facts is not None and facts.kind == "unified"
    if facts and facts.kind != "unified":
        return facts.total_bytes, facts.free_bytes, False
    if facts or gpu.memory_shared:
        return machine.host.ram_total, machine.host.ram_available, True
    raise InputError(
        f"The driver does not say how much memory GPU {gpu.index} ({gpu.name}) has.",
        remedy="Plan for it by its size: --gpu-memory 24GiB.",
    )


def _scaled(rate: float | None, share: float) -> float | None:
    return None if rate is None else rate * share


def _flash_attention(software: Software | None, capability: tuple[int, int] | None) -> bool:
    if software is None or capability is None or capability < FLASH_FROM["flash_attention_2"]:
        return False
    return software.versions.get("flash-attn") is not None
