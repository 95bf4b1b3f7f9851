"""The plan as one JSON document: `recommend --json`, and a run's plan.json."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from recommender.config.schema import FinetuneConfig
from recommender.data.profile.document import document as data_document
from recommender.data.profile.profile import DataProfile
from recommender.machine.facts import Device, Machine
from recommender.model.spec import ModelSpec
from recommender.plan.alternatives import alternatives
from recommender.plan.plain import plain
from recommender.plan.recommend import plan_of
from recommender.plan.types import Alternative, Plan, Remedy
from recommender.warning import findings, texts


def launch_document(
    config: FinetuneConfig, model: ModelSpec, device: Device, data: DataProfile | None, machine: Machine | None = None
) -> dict[str, Any]:
    """Return the plan.json document of a run that was started from a configuration file."""
    return document(plan_of(config, model, device, data), machine)


def document(plan: Plan, machine: Machine | None) -> dict[str, Any]:
    """Return the document of `recommend --json`; the alternatives of an edited plan are worked out first."""
    whole = plan if plan.alternatives else replace(plan, alternatives=alternatives(plan))
    return _document(whole, machine)


def _document(plan: Plan, machine: Machine | None) -> dict[str, Any]:
    return {
        "goal": plan.goal,
        "config": plan.config.model_dump(mode="json"),
        "estimate": plan.estimate.document(),
        "reasons": {key: plain(reason.document()) for key, reason in plan.reasons.items()},
        "alternatives": [_alternative(one) for one in plan.alternatives],
        "remedies": [remedy_document(one) for one in plan.remedies],
        "warnings": texts(plan.warnings),
        "findings": findings(plan.warnings),
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
    """Return one of the document's remedies."""
    return {
        "label": one.label,
        "changes": plain(one.changes),
        "saves_bytes": one.saves_bytes,
        "costs": one.costs,
        "fits": one.fits,
    }
