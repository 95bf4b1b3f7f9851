"""Settings that single families of models need in training, and those that others take, each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from presets.yaml_file import read_yaml

FILE = Path(__file__).with_name("evidence") / "families.yaml"


@dataclass(frozen=True, slots=True)
class FamilyRule:
    """One line."""

    types: tuple[str, ...]
    """Values of `model_type`."""
    of: Literal["dense", "mixtures", "all"]
    """Part of those types' models that it is for."""
    source: str
    why: str = ""
    """The reason for the values, in a sentence."""
    rate_at_most: float | None = None
    """Highest learning rate of an adapter."""
    max_grad_norm: float | None = None
    others: str = ""
    """What others take, which decides nothing."""


@cache
def load_family_rules() -> tuple[FamilyRule, ...]:
    """The shipped lines, in the file's order."""
    return tuple(FamilyRule(**{**line, "types": tuple(line["types"])}) for line in read_yaml(FILE))


def rules_for(model_type: str, *, mixture: bool) -> tuple[FamilyRule, ...]:
    """The lines on a model.

    Args:
        model_type: As config.json says it.
        mixture: Whether it has experts.
    """
    kinds = ("all", "mixtures" if mixture else "dense")
    return tuple(rule for rule in load_family_rules() if model_type in rule.types and rule.of in kinds)


def needed_for(model_type: str, *, mixture: bool) -> FamilyRule | None:
    """The line that decides values for a model; None where it needs nothing of its own."""
    return next((rule for rule in rules_for(model_type, mixture=mixture) if rule.why), None)
