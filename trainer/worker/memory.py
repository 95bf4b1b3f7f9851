"""Memory of this process: the allocator's peaks on CUDA, the growth of the resident set on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")


class MemoryMeter:
    """Knows the peak since it was made, without watching: the allocator and the kernel both keep a high-water mark.

    Args:
        cuda: Whether the run is on a GPU.
        status: The kernel's account of this process; another one in tests.
    """

    def __init__(self, *, cuda: bool, status: Path = STATUS) -> None:
        self.cuda = cuda
        self._status = status
        self._base = self._resident("VmRSS")
        if cuda:
            torch.cuda.reset_peak_memory_stats()

    def _resident(self, key: str) -> int:
        """Bytes of VmRSS (now) or VmHWM (the most since the process began)."""
        for line in self._status.read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
        return 0

    def peak(self) -> int:
        """Bytes at the worst moment so far: allocated on CUDA, resident growth since this meter was made on a CPU."""
        if self.cuda:
            return int(torch.cuda.max_memory_allocated())
        return max(0, self._resident("VmHWM") - self._base)

    def reading(self) -> dict[str, Any]:
        """The keys of a 'preflight' event."""
        if not self.cuda:
            growth = self.peak()
            return {"allocated_bytes": growth, "process_bytes": growth, "basis": "resident growth"}
        reserved = int(torch.cuda.max_memory_reserved())
        free, total = torch.cuda.mem_get_info()
        # What the driver counts beyond the allocator's segments is the context and the libraries' workspaces.
        beyond = max(0, total - free - int(torch.cuda.memory_reserved()))
        return {
            "allocated_bytes": int(torch.cuda.max_memory_allocated()),
            "reserved_bytes": reserved,
            "process_bytes": reserved + beyond,
            "basis": "allocator and driver",
        }
