"""The plan as one JSON document (DESIGN section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.config.schema import Section
from recommender.data.profile.document import document as data_document
from recommender.plan.types import Alternative, Plan, Remedy

if TYPE_CHECKING:
    from recommender.machine.facts import Machine


def plan_document(plan: Plan, machine: Machine | None) -> dict[str, Any]:
    """The document of `recommend --json`, and what a run keeps as plan.json."""
    return {
        "goal": plan.goal,
        "config": plan.config.model_dump(mode="json"),
        "estimate": plan.estimate.document(),
        "reasons": {key: plain(reason.document()) for key, reason in plan.reasons.items()},
        "alternatives": [_alternative(one) for one in plan.alternatives],
        "remedies": [remedy_document(one) for one in plan.remedies],
        "warnings": list(plan.warnings),
        "overrides": plain(plan.overrides),
        "machine": {**(plain(machine) if machine is not None else {}), "device": plain(plan.device)},
        "model": plain(plan.model),
        "data": None if plan.data is None else data_document(plan.data, plan.config.data.max_length),
    }


def _alternative(one: Alternative) -> dict[str, Any]:
    return {
        "goal": one.goal,
        "config": one.config.model_dump(mode="json"),
        "estimate": one.estimate.document(),
        "gives_up": one.gives_up,
        "gains": one.gains,
    }


def remedy_document(one: Remedy) -> dict[str, Any]:
    """One of the document's remedies."""
    return {
        "label": one.label,
        "changes": plain(one.changes),
        "saves_bytes": one.saves_bytes,
        "costs": one.costs,
        "fits": one.fits,
    }


def plain(value: Any) -> Any:
    """Frozen values as what JSON can hold: dataclasses as objects, paths and enums as text, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
