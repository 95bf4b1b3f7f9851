"""The request for a plan: model, device, data, goal and the values that the user set, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, get_args

from presets.errors import InputError
from recommender.config.edit import apply, owner, value_of, with_followers, with_values
from recommender.config.schema import Data, FinetuneConfig, Goal, Quantization
from recommender.data.profile.profile import DataProfile
from recommender.estimate.pricer import Pricer, pricer
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.plan.checks.conflicts import refuse_contradictions
from recommender.plan.plain import plain
from recommender.plan.starting_adapter import adopted, refuse_against_start
from recommender.rules.base import Context

GOALS: tuple[Goal, ...] = get_args(Goal)


def as_goal(name: str) -> Goal:
    """Return the goal of this name.

    Raises:
        InputError: there is none; the nearest is offered.
    """
    for goal in GOALS:
        if goal == name:
            return goal
    near = get_close_matches(name, GOALS, n=1, cutoff=0.4)
    raise InputError(
        f"There is no goal '{name}'.",
        remedy=f"Did you mean {near[0]}?" if near else f"Goals are {', '.join(GOALS)}.",
    )


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A checked request for a plan."""

    model: ModelSpec
    device: Device
    data: DataProfile | None
    goal: Goal
    base_config: FinetuneConfig
    """Defaults overlaid with the user's values and those of the adapter that training starts from."""
    user_set: Mapping[str, Any]
    """Values set by the user, by dotted key."""
    price: Pricer
    settled: Mapping[str, Any] = field(default_factory=dict)
    """Values fixed by the adapter that training starts from, by dotted key."""
    default_values: Mapping[str, Any] = field(default_factory=dict)
    """Default values of the keys that no rule decides, by dotted key."""

    @property
    def fixed(self) -> Mapping[str, Any]:
        """Values that are fixed beforehand: the user's, and those of the adapter."""
        return {**self.user_set, **self.settled}

    def context(self, searched: Mapping[str, Any]) -> Context:
        """Return the rules' context before any value is decided."""
        return Context(self.model, self.device, self.data, self.goal, self.base_config, searched, self.fixed)


def build_request(
    model: ModelSpec,
    device: Device,
    data: DataProfile | None,
    goal: Goal,
    config: FinetuneConfig,
    user_set: Mapping[str, Any],
    *,
    price: Pricer | None = None,
    default_values: Mapping[str, Any] | None = None,
) -> PlanRequest:
    """Build a request: user values and those of the starting adapter over a configuration, checked.

    Args:
        model: What is tuned.
        device: Where.
        data: Its token lengths; None when no data is known yet.
        goal: What matters most.
        config: The configuration under the user's values.
        user_set: Dotted key to value that the user set.
        price: The estimator; the project's own when None.
        default_values: Dotted key to the value that a key without a rule goes back to.

    Raises:
        InputError: A value that its key cannot take, or that contradicts another, the adapter or the device.
    """
    base = apply(config, user_set)
    complete = {name: plain(value_of(base, name)) for name in map(owner, with_followers(config, user_set))}
    settled = adopted(base, model)
    refuse_against_start(base, tuple(complete), settled)
    base = with_values(base, settled)
    complete = {key: value for key, value in complete.items() if key not in settled}
    refuse_contradictions(base, complete, model, device)
    return PlanRequest(
        model, device, data, goal, base, complete, price or pricer(model, device, data), settled, default_values or {}
    )


def default_config(model: ModelSpec, data: Data | None, name: str | None) -> FinetuneConfig:
    """Return the configuration before anybody decided anything: the schema's defaults, over 4 bits.

    Args:
        model: What is tuned.
        data: The data section; the schema's own when None.
        name: What the configuration calls the model; its folder or its name when None.
    """
    return FinetuneConfig(
        model=name or _name(model),
        revision=model.revision,
        method="qlora",
        quantization=Quantization(bits=4),
        data=data or Data(),
    )


def _name(model: ModelSpec) -> str:
    """Return the model's name in a configuration: its folder's full path, its name on the hub, or the name given."""
    if model.source == "folder" and model.path is not None:
        return str(model.path.absolute())
    return model.hub_id or model.name
