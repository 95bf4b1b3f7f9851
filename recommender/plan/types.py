"""The answers: an estimate, a reason, a remedy, a plan. Frozen values; what they print as JSON is a contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from recommender.config.schema import FinetuneConfig, Goal
from recommender.data.profile.profile import DataProfile
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec

Fits = Literal["yes", "tight", "no"]
Basis = Literal["formula", "trace", "measured"]
Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class Peak:
    """The worst moment of a step, whole bytes."""

    allocated_bytes: int
    """What PyTorch's allocator has handed out."""
    reserved_bytes: int
    """What it has taken from the driver."""
    process_bytes: int
    """What nvidia-smi shows: reserved plus the CUDA context. On a CPU, the process's growth."""
    low_bytes: int
    """Lower end of the interval for process_bytes."""
    high_bytes: int
    """Upper end of it."""
    cache_bytes: int = 0
    """Of process_bytes, what the allocator keeps unused and gives back where memory is short: 'fits' is without it."""
    cache_less_bytes: int = 0
    """Of the interval below process_bytes, what is the cache's alone: it may be so much less."""
    cache_more_bytes: int = 0
    """The same above it."""

    @property
    def needed_bytes(self) -> int:
        """What must be there: process_bytes without the cache. 'tight' is when this is within free memory."""
        return self.process_bytes - self.cache_bytes

    @property
    def most_bytes(self) -> int:
        """What may have to be there: high_bytes without the cache. 'yes' is when this is within free memory."""
        return self.high_bytes - self.cache_bytes - self.cache_more_bytes

    @property
    def least_bytes(self) -> int:
        """What has to be there at least: low_bytes without the cache."""
        return self.low_bytes - self.cache_bytes + self.cache_less_bytes


@dataclass(frozen=True, slots=True)
class TimeEstimate:
    """Time of the whole run; None where rows are unknown."""

    tokens_per_second: float
    """Real (unpadded) tokens through one optimizer step a second."""
    step_seconds: float
    """One optimizer step, all its micro-batches."""
    total_seconds: float | None
    """With evaluation and saving."""
    low_seconds: float | None
    high_seconds: float | None
    steps: int | None
    """Optimizer steps of the run."""
    tokens: int | None
    """Real tokens that the run goes through."""
    saving_seconds: float = 0.0
    """Of total_seconds, what checkpoints take: it does not depend on the device's speed."""
    basis: Literal["formula", "measured"] = "formula"
    """'measured': at the pace of this plan's own measured step."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a configuration needs on a device."""

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
    """Room that the run folder needs: checkpoints that are kept, one being written, and the adapter."""
    phases: Mapping[str, int] = field(default_factory=dict)
    """Bytes that the allocator has handed out at the worst of each phase: load, initialisation, forward, backward,
    optimizer, evaluation, save; merge is of a process of its own, into 16-bit weights."""
    notes: tuple[str, ...] = ()
    """What the person should know about how this figure came to be."""

    @property
    def needed_parts(self) -> dict[str, int]:
        """The parts without the allocator's cache: they add up to peak.needed_bytes."""
        return {**self.parts, "allocator": self.parts.get("allocator", 0) - self.peak.cache_bytes}

    @property
    def spare_bytes(self) -> int:
        """Free memory less what is needed; negative when it is too much."""
        return self.free_bytes - self.peak.needed_bytes

    def in_use_bytes(self, device: Device) -> int:
        """What nvidia-smi will show of the device: this, cache included as far as it has room, and what is in use."""
        room = max(self.peak.needed_bytes, min(self.peak.process_bytes, device.free_bytes))
        return device.total_bytes - device.free_bytes + room

    def document(self) -> dict[str, Any]:
        """The JSON document of `estimate --json` (DESIGN section 6)."""
        from dataclasses import asdict

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
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """One line of a table beside a reason."""

    label: str
    value: str
    note: str = ""
    measured: bool = True
    """Whether somebody measured it; else it is this project's estimate."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a value is what it is."""

    value: Any
    why: str
    """Sentences; every number in them is computed from the same values as the plan."""
    source: str
    confidence: Confidence
    evidence: tuple[Evidence, ...] = ()
    others: str = ""
    """Who says otherwise, with their value."""
    costs: str = ""
    """What it costs in memory and time, or 'none'."""

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "value": self.value,
            "why": self.why,
            "source": self.source,
            "confidence": self.confidence,
            "evidence": [[line.label, line.value, line.note] for line in self.evidence],
            "others": self.others,
            "costs": self.costs,
        }


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change that makes a plan need less memory."""

    label: str
    """Such as 'batch 4×4 → 2×8'."""
    changes: Mapping[str, Any]
    """Dotted key to new value; applied with `recommender.config.edit.apply`."""
    saves_bytes: int
    costs: str
    """What is given up, with its figure."""
    fits: Fits
    """Whether the plan fits after this change alone."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """The best plan for another goal, what is given up for it, and what is gained."""

    goal: Goal
    config: FinetuneConfig
    estimate: Estimate
    gives_up: str
    gains: str
    """Empty when nothing is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration with its price and, for every value, a reason."""

    goal: Goal
    config: FinetuneConfig
    estimate: Estimate
    reasons: Mapping[str, Reason]
    """Dotted key ('training.learning_rate') to reason: every lora and training key, and what else was decided."""
    alternatives: tuple[Alternative, ...]
    """One for every other goal; none after an edit, until `recommend.alternatives` works them out."""
    remedies: tuple[Remedy, ...]
    warnings: tuple[str, ...]
    device: Device
    model: ModelSpec
    data: DataProfile | None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """What the person set by hand, dotted key to value."""
    recommended: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key to the value that is recommended; it differs from the configuration where the person set another."""
    searched: Mapping[str, Any] = field(default_factory=dict)
    """What the search over memory and time found, dotted key to value; kept while the plan is edited."""
