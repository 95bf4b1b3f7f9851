"""The machine as lines of text, for `probe` in a plain terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from recommender.machine.capability import version
from tui.terminal.sanitize import as_markup

if TYPE_CHECKING:
    from rich.console import Console

    from recommender.machine.facts import Gpu, Machine

MARKS: Final = {"ok": "✓", "warn": "!", "fail": "✗"}
"""Colour never carries a judgement alone: each has its mark."""


def _gpu_line(gpu: Gpu) -> str:
    from recommender.units import gib

    capability = version(gpu.compute_capability) if gpu.compute_capability else "?"
    facts = [
        f"{gpu.index}  {gpu.name}",
        f"{gpu.architecture or 'unknown architecture'} {capability}",
        "bf16 ✓" if gpu.bf16 else "bf16 ✗ (fp16 instead)",
        f"{gib(gpu.memory_free)} of {gib(gpu.memory_total)} free"
        if gpu.memory_total and gpu.memory_free is not None
        else ("memory shared with the host" if gpu.memory_shared else "memory not known"),
        f"util {gpu.utilisation} %" if gpu.utilisation is not None else "",
        f"{gpu.temperature} °C" if gpu.temperature is not None else "",
        f"{gpu.power_watts:.0f}/{gpu.power_limit_watts:.0f} W" if gpu.power_watts and gpu.power_limit_watts else "",
        "MIG on" if gpu.mig else "",
        gpu.problem,
    ]
    return "   ".join(fact for fact in facts if fact)


def _process_line(gpu: Gpu) -> str:
    from recommender.units import gib

    who = {"you": "you", "other": "another user", "outside": "outside this container"}
    return " · ".join(
        f"{process.name or 'a process'}"
        + (f" (pid {process.pid}, {who[process.owner]})" if process.pid else f" {who[process.owner]}")
        + (f" {gib(process.used_bytes)}" if process.used_bytes is not None else "")
        for process in gpu.processes
    )


def show_machine(machine: Machine, console: Console) -> None:
    """Print GPUs, host, software and diagnostics, each on its line."""
    from recommender.units import counted, gib

    def line(text: str) -> None:
        console.print(as_markup(text), soft_wrap=True)

    for gpu in machine.gpus:
        line(_gpu_line(gpu))
        if gpu.processes:
            line(f"   in use by: {_process_line(gpu)}")
    for found in machine.accelerators:
        if found.maker != "NVIDIA":
            line(f"–  {found.described}   not used")
    if not machine.gpus:
        line(f"no GPU that is used: {machine.nvml.message or 'none was found'}")
    host = machine.host
    precision = "bf16 ✓" if host.cpu.bf16 else "fp32 (no bf16 instructions)"
    line(f"CPU   {host.cpu.name}, {counted(host.cpu.cores, 'core')}, {precision}")
    limit = " (cgroup's limit)" if host.ram_source == "cgroup" else ""
    line(f"RAM   {gib(host.ram_available)} of {gib(host.ram_total)} free{limit}")
    for disk in host.disks:
        free = gib(disk.free) if disk.free is not None else "unknown"
        line(f"disk  {free} free for {disk.purpose} in {disk.path}")
    software = machine.software
    versions = [f"{name} {version or 'missing'}" for name, version in software.versions.items()]
    driver = [f"driver {software.driver} (CUDA {software.cuda_driver})"] if software.driver else []
    line(" · ".join([*driver, f"Python {software.python}", *versions]))
    for notice in machine.diagnostics:
        line(f"{MARKS[notice.level]} {notice.text}" + (f"\n   → {notice.remedy}" if notice.remedy else ""))
