"""Types of an estimate: memory at the peak of a step, time of a run, disk. Frozen values, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from recommender.machine.facts import Device
from recommender.time.types import TimeEstimate
from recommender.warning import CodedWarning, findings, texts

Fits = Literal["yes", "tight", "no"]
Basis = Literal["formula", "trace", "measured"]


@dataclass(frozen=True, slots=True)
class Peak:
    """The worst moment of a step, whole bytes."""

    allocated_bytes: int
    """Bytes handed out by PyTorch's allocator."""
    reserved_bytes: int
    """Bytes taken by it from the driver."""
    process_bytes: int
    """Bytes shown by nvidia-smi: reserved plus the CUDA context. On a CPU, the process's growth."""
    low_bytes: int
    """Lower end of the interval for process_bytes."""
    high_bytes: int
    """Upper end of it."""
    cache_bytes: int = 0
    """Part of process_bytes that the allocator keeps unused and frees where memory is short: 'fits' is without it."""
    cache_less_bytes: int = 0
    """Part of the interval below process_bytes that is the cache's alone: it may be so much less."""
    cache_more_bytes: int = 0
    """The same above it."""

    @property
    def needed_bytes(self) -> int:
        """Required memory: process_bytes without the cache. 'tight' is when this is within free memory."""
        return self.process_bytes - self.cache_bytes

    @property
    def most_bytes(self) -> int:
        """Upper end of the required memory: high_bytes without the cache. 'yes' is when this is within free memory."""
        return self.high_bytes - self.cache_bytes - self.cache_more_bytes

    @property
    def least_bytes(self) -> int:
        """Lower end of the required memory: low_bytes without the cache."""
        return self.low_bytes - self.cache_bytes + self.cache_less_bytes


@dataclass(frozen=True, slots=True)
class Estimate:
    """Memory, time and disk of a configuration on a device."""

    fits: Fits
    free_bytes: int
    peak: Peak
    parts: Mapping[str, int]
    """Bytes by named part at the peak; they add up to peak.process_bytes."""
    basis: Basis
    time: TimeEstimate | None
    """None where the device's speed is unknown."""
    trainable_parameters: int
    adapter_bytes: int
    """Size of the saved adapter."""
    checkpoint_bytes: int
    """Size of one checkpoint: adapter and optimizer state."""
    host_bytes: int
    """Peak host RAM of the worker."""
    disk_bytes: int
    """Disk space that the run folder needs: checkpoints that are kept, one being written, and the adapter."""
    phases: Mapping[str, int] = field(default_factory=dict)
    """Bytes that the allocator has handed out at the worst of each phase: load, initialisation, forward, backward,
    optimizer, evaluation, save; merge is of a process of its own, into 16-bit weights."""
    notes: tuple[CodedWarning, ...] = ()
    """Notes for the person on the origin of the figure."""

    @property
    def needed_parts(self) -> dict[str, int]:
        """The parts without the allocator's cache: they add up to peak.needed_bytes."""
        return {**self.parts, "allocator": self.parts.get("allocator", 0) - self.peak.cache_bytes}

    @property
    def spare_bytes(self) -> int:
        """Free memory less the required memory; negative when it does not fit."""
        return self.free_bytes - self.peak.needed_bytes

    def in_use_bytes(self, device: Device) -> int:
        """Device memory that nvidia-smi will show: this, cache included as far as it has room, and memory in use."""
        room = max(self.peak.needed_bytes, min(self.peak.process_bytes, device.free_bytes))
        return device.total_bytes - device.free_bytes + room

    def document(self) -> dict[str, Any]:
        """The JSON document of `estimate --json` (docs/architecture.md)."""
        return {
            "fits": self.fits,
            "free_bytes": self.free_bytes,
            "peak": asdict(self.peak),
            "parts": dict(self.parts),
            "phases": dict(self.phases),
            "basis": self.basis,
            "time": asdict(self.time) if self.time else None,
            "trainable_parameters": self.trainable_parameters,
            "adapter_bytes": self.adapter_bytes,
            "checkpoint_bytes": self.checkpoint_bytes,
            "host_bytes": self.host_bytes,
            "disk_bytes": self.disk_bytes,
            "notes": texts(self.notes),
            "findings": findings(self.notes),
        }


def fits_in(peak: Peak, free: int) -> Fits:
    """Whether a peak fits into so many free bytes, without the cache, which gives way before memory runs out."""
    if peak.most_bytes <= free:
        return "yes"
    return "tight" if peak.needed_bytes <= free else "no"
