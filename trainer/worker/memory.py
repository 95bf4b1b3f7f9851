"""Memory of this process: the allocator's peaks on CUDA, the resident set's growth on a CPU."""

from __future__ import annotations

import threading
from typing import Any

import psutil
import torch

SAMPLE_SECONDS = 0.02


class MemoryMeter:
    """Watches the peak from its start on. On CUDA it resets the allocator's peaks; on a CPU it samples in a thread."""

    def __init__(self, *, cuda: bool) -> None:
        self.cuda = cuda
        self._process = psutil.Process()
        self._base = self._process.memory_info().rss
        self._peak = self._base
        self._done = threading.Event()
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, self._process.memory_info().rss)

    def current_peak(self) -> int:
        """Bytes at the worst moment so far: allocated on CUDA, resident growth on a CPU."""
        if self.cuda:
            return int(torch.cuda.max_memory_allocated())
        self._peak = max(self._peak, self._process.memory_info().rss)
        return self._peak - self._base

    def close(self) -> None:
        """Stop sampling."""
        self._done.set()

    def reading(self) -> dict[str, Any]:
        """The keys of a 'preflight' event."""
        if not self.cuda:
            growth = self.current_peak()
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
