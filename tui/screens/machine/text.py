"""Texts of the Machine screen, as toned lines: facts in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from recommender.machine.capability import version
from recommender.machine.gpu.unused import passed_over
from recommender.units import gib, gib_number
from tui.terminal.sanitize import clean
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Row, Tone, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from recommender.machine.facts import Device, Diagnostic, Disk, Gpu, GpuProcess, Host, Machine

CPU = "cpu"
SIMULATED = "simulated"
MOST_PROCESSES = 4
"""Processes listed of one GPU at most when they do not fit on a line."""
MARK: dict[str, tuple[str, Tone]] = {"ok": ("✓", "good"), "warn": ("!", "caution"), "fail": ("✗", "bad")}


def short_name(name: str) -> str:
    """A card's name without its maker's."""
    return clean(name).removeprefix("NVIDIA ").replace("GeForce ", "")


def device_picks(machine: Machine, gpus: Sequence[Gpu], device: Device | None, width: int) -> list[Pick]:
    """The GPUs, then the CPU, then the what-if card when there is one."""
    picks = []
    if device is not None and device.simulated:
        picks.append(_simulated(device))
    picks += [_gpu(gpu, machine.host, device, width) for gpu in gpus or machine.gpus]
    if not machine.gpus:
        picks.append(Pick("none", tuple(_no_gpu(machine, device, width)), fixed=True))
    picks.append(_cpu(machine, device, width))
    return picks


def _chosen(yes: bool) -> tuple[str, Tone]:
    return ("◉ ", "accent") if yes else ("○ ", "quiet")


def _gpu(gpu: Gpu, host: Host, device: Device | None, width: int) -> Pick:
    here = device is not None and not device.simulated and device.uuid == gpu.uuid
    head = row(_chosen(here), (f"{gpu.index}  ", "label"), (cell(short_name(gpu.name), 24), "bright"))
    if gpu.problem:
        return Pick(gpu.uuid, (Row((*head.parts, (f" ✗ {clean(gpu.problem)}", "bad"))),))
    capability = version(gpu.compute_capability) if gpu.compute_capability else ""
    kind = f"{gpu.architecture or ''} {capability}".strip() or "unknown kind"
    bf16: tuple[str, Tone] = ("bf16 ✓", "good") if gpu.bf16 else ("no bf16", "caution")
    parts = (
        *head.parts,
        (cell(f" {kind}", 15), "label"),
        bf16,
        *_memory(gpu, host),
    )
    live = _live(gpu)
    if width >= 100:
        lines = [Row((*parts, (f"   {live}", "label")))]
    else:
        lines = [Row(parts), row((f"      {live}", "label"))]
    return Pick(gpu.uuid, (*lines, *_in_use(gpu, width)))


def _memory(gpu: Gpu, host: Host) -> tuple[tuple[str, Tone], ...]:
    """Memory of the GPU, or the host's where it has none of its own."""
    total, free = (host.ram_total, host.ram_available) if gpu.memory_shared else (gpu.memory_total, gpu.memory_free)
    if total is None:
        return (("   memory not known", "caution"),)
    return (
        (f"   {cell(gib(total), 9, 'right')}", "label"),
        ("   free ", "label"),
        (gib_number(free), "good"),
        (" shared with the host" if gpu.memory_shared else "", "label"),
    )


def _live(gpu: Gpu) -> str:
    told = [
        "" if gpu.utilisation is None else f"util {gpu.utilisation} %",
        "" if gpu.temperature is None else f"{gpu.temperature} °C",
        _power(gpu),
        "MIG" if gpu.mig else "",
    ]
    return "  ".join(part for part in told if part)


def _power(gpu: Gpu) -> str:
    if gpu.power_watts is None:
        return ""
    limit = "" if gpu.power_limit_watts is None else f"/{gpu.power_limit_watts:.0f}"
    return f"{gpu.power_watts:.0f}{limit} W"


def _in_use(gpu: Gpu, width: int) -> list[Row]:
    """The processes on one line, or on one each where they do not fit."""
    before = "      in use by: "
    told = list(map(_process, gpu.processes))
    if not told:
        return [row(("      used by no process that the driver names", "quiet"))]
    if len(before) + len(" · ".join(told)) <= width:
        return [row((before, "quiet"), (" · ".join(told), "label"))]
    shown = told[:MOST_PROCESSES]
    rows = [row((" " * len(before) if number else before, "quiet"), (one, "label")) for number, one in enumerate(shown)]
    more = len(told) - len(shown)
    return [*rows, row((" " * len(before) + f"and {more} more", "quiet"))] if more else rows


def _process(process: GpuProcess) -> str:
    size = "" if process.used_bytes is None else f" {gib(process.used_bytes)}"
    if process.owner == "outside":
        return f"outside this container{size}"
    who = "you" if process.owner == "you" else "another user"
    return f"{clean(process.name or 'a process')} (pid {process.pid}, {who}){size}"


def _no_gpu(machine: Machine, device: Device | None, width: int) -> Iterator[Row]:
    said, remedy = _why_none(machine)
    # A list cuts its lines off: what is to be read is wrapped here.
    for number, text in enumerate(wrap(clean(said) or "No NVIDIA GPU is listed.", max(20, width - 2))):
        yield row(("  " if number else "! ", "caution"), (text, "plain"))
    for number, text in enumerate(wrap(clean(remedy), max(20, width - 4))):
        yield row(("    " if number else "  → ", "accent"), (text, "label"))
    for_what = "plans are for this CPU · " if device is not None and device.kind == "cpu" else ""
    yield row((f"  {for_what}w plans for a card", "quiet"))


def _why_none(machine: Machine) -> tuple[str, str]:
    """Reason that no GPU is listed, and its remedy."""
    unused = passed_over(machine)
    return (unused.text, unused.remedy) if unused else (machine.nvml.message, machine.nvml.remedy)


def _cpu(machine: Machine, device: Device | None, width: int) -> Pick:
    cpu = machine.host.cpu
    here = device is not None and device.kind == "cpu"
    bf16: tuple[str, Tone] = ("bf16 ✓", "good") if cpu.bf16 else ("no bf16: fp32", "quiet")
    return Pick(
        CPU,
        (
            row(
                _chosen(here),
                ("CPU  ", "label"),
                (cell(clean(cpu.name), max(12, min(40, width - 52))), "bright" if here else "plain"),
                (f"  {cpu.cores} cores  ", "label"),
                bf16,
                ("   free ", "label"),
                (gib_number(machine.host.ram_available), "good"),
                (f" of {gib(machine.host.ram_total)}", "label"),
            ),
        ),
    )


def _simulated(device: Device) -> Pick:
    capability = version(device.compute_capability) if device.compute_capability else ""
    return Pick(
        SIMULATED,
        (
            row(
                _chosen(True),
                ("SIM  ", "caution"),
                (cell(short_name(device.name), 22), "bright"),
                (cell(f"compute {capability}", 14), "label"),
                ("bf16 ✓" if device.bf16 else "no bf16", "label"),
                (f"   {gib(device.total_bytes)}   free ", "label"),
                (gib_number(device.free_bytes), "good"),
            ),
            row(("      a what-if card: plans can be made and saved, training cannot be started on it", "quiet")),
        ),
    )


def host_rows(machine: Machine) -> list[Row]:
    """RAM, disks and cores."""
    host = machine.host
    limit = "  the cgroup's limit" if host.ram_source == "cgroup" else ""
    rows = [
        row(
            ("RAM   ", "label"),
            (gib_number(host.ram_available), "bright"),
            (f" of {gib(host.ram_total)} free", "label"),
            (limit, "quiet"),
        )
    ]
    rows += [_disk(disk) for disk in host.disks]
    rows.append(
        row(
            ("CPU   ", "label"),
            (f"{host.cpu.cores} cores", "bright"),
            ("  in a container" if host.container else "", "quiet"),
        )
    )
    rows += _shm(host)
    return rows


def _disk(disk: Disk) -> Row:
    return row(
        ("disk  ", "label"),
        (gib(disk.free), "bright"),
        (f" free for {disk.purpose}  ", "label"),
        (clean(str(disk.path)), "quiet"),
        indent=6,
    )


def _shm(host: Host) -> list[Row]:
    if host.shm_bytes is None:
        return []
    return [row(("shm   ", "label"), (gib(host.shm_bytes), "bright"), (" /dev/shm", "quiet"))]


def software_rows(machine: Machine) -> list[Row]:
    """Rows of the software: failures and warnings, each with its remedy; then what is well, several on a line."""
    rows: list[Row] = []
    told = "" if machine.gpus else _why_none(machine)[0]
    for notice in machine.diagnostics:
        # What stands in a GPU's place above is not said twice.
        if notice.level != "ok" and notice.text != told:
            rows += _notice(notice)
    well = [notice for notice in machine.diagnostics if notice.level == "ok"]
    for notice in well:
        rows.append(row(("✓ ", "good"), (clean(notice.text), "plain"), indent=2))
    rows.append(row(("✓ ", "good"), f"python {machine.software.python}"))
    return rows


def _notice(notice: Diagnostic) -> Iterator[Row]:
    mark, tone = MARK[notice.level]
    yield row((f"{mark} ", tone), (clean(notice.text), "plain"), indent=2)
    if notice.remedy:
        yield row(("  → ", "accent"), (clean(notice.remedy), "label"), indent=4)
