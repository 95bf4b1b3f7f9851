"""The plan as one JSON document (DESIGN section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.plan import Alternative, Plan, Remedy

if TYPE_CHECKING:
    from recommender.data.profile import DataProfile
    from recommender.machine.facts import Machine


def plan_document(plan: Plan, machine: Machine | None) -> dict[str, Any]:
    """The document of `recommend --json`, and what a run keeps as plan.json."""
    return {
        "goal": plan.goal,
        "config": plan.config.model_dump(mode="json"),
        "estimate": plan.estimate.document(),
        "reasons": {key: plain(reason.document()) for key, reason in plan.reasons.items()},
        "alternatives": [_alternative(one) for one in plan.alternatives],
        "remedies": [_remedy(one) for one in plan.remedies],
        "warnings": list(plan.warnings),
        "overrides": plain(plan.overrides),
        "machine": {**(plain(machine) if machine is not None else {}), "device": plain(plan.device)},
        "model": plain(plan.model),
        "data": None if plan.data is None else _data(plan.data, plan.config.data.max_length),
    }


def _alternative(one: Alternative) -> dict[str, Any]:
    return {
        "goal": one.goal,
        "config": one.config.model_dump(mode="json"),
        "estimate": one.estimate.document(),
        "gives_up": one.gives_up,
    }


def _remedy(one: Remedy) -> dict[str, Any]:
    return {
        "label": one.label,
        "changes": plain(one.changes),
        "saves_bytes": one.saves_bytes,
        "costs": one.costs,
        "fits": one.fits,
    }


def _data(data: DataProfile, max_length: int) -> dict[str, Any]:
    return {
        "files": [str(path) for path in data.files],
        "shape": data.shape,
        "shape_reason": data.shape_reason,
        "rows": data.rows,
        "bad_row_count": data.bad_row_count,
        "tokenizer": data.tokenizer,
        "template": data.template,
        "tokens": {
            "total": data.total_tokens,
            "trained": data.trained_tokens,
            "p50": data.quantile(0.5),
            "p90": data.quantile(0.9),
            "p99": data.quantile(0.99),
            "max": data.longest,
        },
        "trained_share": data.trained_share,
        "rows_cut": data.rows_cut(max_length),
        "trained_tokens_cut": data.trained_tokens - data.trained_at(max_length),
        "duplicates": data.duplicates,
    }


def plain(value: Any) -> Any:
    """Frozen values as what JSON can hold: dataclasses as objects, paths and enums as text, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
