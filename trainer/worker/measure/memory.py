"""Memory of this process: the allocator's peaks on CUDA, the growth of the resident set on a CPU."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from recommender.machine.facts import Device
from recommender.machine.probe import gpu_now
from trainer.worker.setup.sharding import local_weights

STATUS = Path("/proc/self/status")
MAPS = Path("/proc/self/maps")


class MemoryMeter:
    """Meter of the peak since its creation, without polling: allocator and kernel both keep a high-water mark.

    On a CPU pages of files that no weight stands in are not counted: a checkpoint stays mapped as a whole while one
    tensor of it is used, and after quantisation most of it is not. The kernel takes such pages back when it wants to.

    Args:
        cuda: Whether the run is on a GPU.
        free_before: Bytes that were free on the GPU before this process used it: what others hold there (a desktop,
            another run) is not this run's. None where nobody can say; everything then counts as this run's.
        status: The kernel's account of this process; another one in tests.
        maps: The kernel's list of what is mapped where; another one in tests.
    """

    def __init__(self, *, cuda: bool, free_before: int | None = None, status: Path = STATUS, maps: Path = MAPS) -> None:
        self.cuda = cuda
        self._free_before = free_before
        self._status, self._maps = status, maps
        self._base = self._resident("VmRSS")
        self._files = self._resident("RssFile")
        self._in_use = 0
        if cuda:
            torch.cuda.reset_peak_memory_stats()

    def _resident(self, key: str) -> int:
        """Bytes of VmRSS (now), RssFile (its pages of files) or VmHWM (the most since the process began)."""
        for line in self._status.read_text(encoding="utf-8").splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
        return 0

    def loaded(self, model: torch.nn.Module) -> None:
        """Record the weights that lie in a mapped file: those are in use."""
        mapped = _mapped_weights(self._maps)
        self._in_use = sum(
            weight.nbytes
            for weight in local_weights(model)
            if any(start <= weight.data_ptr() < end for start, end in mapped)
        )

    def peak(self) -> int:
        """Bytes at the worst moment so far: allocated on CUDA, resident growth since this meter was made on a CPU."""
        if self.cuda:
            return int(torch.cuda.max_memory_allocated())
        idle = max(0, self._resident("RssFile") - self._files - self._in_use)
        return max(0, self._resident("VmHWM") - self._base - idle)

    def reading(self) -> dict[str, Any]:
        """The keys of a 'preflight' event."""
        if not self.cuda:
            growth = self.peak()
            return {"allocated_bytes": growth, "process_bytes": growth, "basis": "resident growth"}
        reserved = int(torch.cuda.max_memory_reserved())
        free, total = torch.cuda.mem_get_info()
        # Memory in use beyond the allocator's segments is the context and the libraries' workspaces.
        before = total if self._free_before is None else min(total, self._free_before)
        beyond = max(0, before - free - int(torch.cuda.memory_reserved()))
        return {
            "allocated_bytes": int(torch.cuda.max_memory_allocated()),
            "reserved_bytes": reserved,
            "process_bytes": reserved + beyond,
            "basis": "allocator and driver",
        }


def free_bytes(device: Device) -> int | None:
    """Free bytes of a GPU by the driver, to be asked before CUDA is touched; None where it does not say."""
    # Whatever a driver's library may raise: a figure is less exact then, and nothing else.
    with suppress(Exception):
        gpu = gpu_now(device.uuid)
        return None if gpu is None or device.unified_memory else gpu.memory_free
    return None


def _mapped_weights(maps: Path) -> list[tuple[int, int]]:
    """Address ranges (first, one after the last) in which safetensors files are mapped; see proc_pid_maps(5)."""
    found = []
    for line in maps.read_text(encoding="utf-8").splitlines():
        addresses, *_, name = line.split()
        if name.endswith(".safetensors"):
            start, _, end = addresses.partition("-")
            found.append((int(start, 16), int(end, 16)))
    return found
