"""Readings of the device while a run lives: NVML for a GPU, psutil for this CPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from recommender.machine.facts import Device

EVERY_SECONDS = 5.0


class DeviceWatch:
    """Gives a reading every five seconds, None in between.

    It is taken in a thread of its own: a driver that hangs or a library that fails must not hold up or end the
    supervisor, whose heart would stop with it.

    Args:
        device: What the run trains on.
        clock: Monotonic seconds; injected by tests.
    """

    def __init__(self, device: Device, clock: Callable[[], float] = time.monotonic) -> None:
        self.device = device
        self.clock = clock
        self._next = 0.0
        self._process: psutil.Process | None = None
        self._thread: threading.Thread | None = None
        self._read: dict[str, Any] | None = None

    def reading(self, worker_pid: int) -> dict[str, Any] | None:
        """The keys of a 'device' event when one has been taken; what cannot be read is left out."""
        if self._thread is not None and self._thread.is_alive():
            return None
        found, self._read = self._read, None
        if self.clock() >= self._next:
            self._next = self.clock() + EVERY_SECONDS
            self._thread = threading.Thread(target=self._take, args=(worker_pid,), name="device", daemon=True)
            self._thread.start()
        return found

    def _take(self, worker_pid: int) -> None:
        found = self._worker(worker_pid)
        if self.device.kind == "cuda":
            # Whatever a driver's library may raise: there is no reading then, and nothing else.
            with suppress(Exception):
                found |= self._gpu()
        self._read = found

    def _worker(self, pid: int) -> dict[str, Any]:
        try:
            if self._process is None or self._process.pid != pid:
                self._process = psutil.Process(pid)
            return {
                "cpu_percent": self._process.cpu_percent(),
                "rss_bytes": self._process.memory_info().rss,
            }
        except psutil.Error:
            return {}

    def _gpu(self) -> dict[str, Any]:
        from recommender.machine.probe import gpu_now

        gpu = gpu_now(self.device.uuid)
        if gpu is None:
            return {}
        return {
            "utilisation": gpu.utilisation,
            "temperature": gpu.temperature,
            "power_watts": gpu.power_watts,
            "power_limit_watts": gpu.power_limit_watts,
            "memory_used": gpu.memory_used,
            "memory_total": gpu.memory_total,
            "slowdown": gpu.slowdown or None,
        }
