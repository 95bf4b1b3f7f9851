"""A plan, its alternatives and its remedies: frozen values; `document` writes them as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recommender.config.schema import FinetuneConfig, Goal
from recommender.data.profile.profile import DataProfile
from recommender.estimate.types import Estimate, Fits
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.rules.reason import Reason
from recommender.warning import CodedWarning


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change that makes a plan need less memory."""

    label: str
    """Such as 'batch 4×4 → 2×8'."""
    changes: Mapping[str, Any]
    """Dotted key to new value; applied with `recommender.config.edit.apply`."""
    saves_bytes: int
    costs: str
    """Cost of the change, with its figure."""
    fits: Fits
    """Whether the plan fits after this change alone."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """The best plan for another goal, with its losses and gains."""

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
    """Reasons by dotted key ('training.learning_rate'): every lora and training key, and all others decided."""
    alternatives: tuple[Alternative, ...]
    """One for every other goal; none after an edit, until `recommend.alternatives` works them out."""
    remedies: tuple[Remedy, ...]
    warnings: tuple[CodedWarning, ...]
    """The gravest first."""
    device: Device
    model: ModelSpec
    data: DataProfile | None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Values set by the person, by dotted key."""
    recommended: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key to the value that is recommended; it differs from the configuration where the person set another."""
    searched: Mapping[str, Any] = field(default_factory=dict)
    """Values found by the search over memory and time, by dotted key; kept while the plan is edited."""
