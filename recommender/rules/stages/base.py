"""StageRules: what decides the values of a stage's configuration, and what cannot go together in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from recommender.config.schema import FinetuneConfig
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.rules.base import Rule
from recommender.stages import Stage

Conflict = Callable[[FinetuneConfig, Mapping[str, Any], ModelSpec, Device], None]
"""Raises InputError where values that the person set (dotted keys) cannot go together, with what to set instead."""


@dataclass(frozen=True, slots=True)
class StageRules:
    """The rules and conflicts of a stage."""

    stage: Stage
    rules: tuple[Rule, ...]
    """In the order of deciding: each sees the decisions of those before it."""
    conflicts: tuple[Conflict, ...] = ()
    """Beside those of every stage (`plan.checks.conflicts`)."""
