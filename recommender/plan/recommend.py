"""Plans from facts: the recommended one for a goal, and that of a user's own configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recommender.config.edit import flatten, known_key
from recommender.config.schema import Data, FinetuneConfig, Goal
from recommender.data.profile.profile import DataProfile
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.plan.alternatives import other_goals
from recommender.plan.assemble import assemble
from recommender.plan.request import build_request, default_config
from recommender.plan.search import Candidate
from recommender.plan.solve import Solution, solve_with_recommended
from recommender.plan.types import Plan


def recommend(
    model: ModelSpec,
    device: Device,
    data: DataProfile | None,
    *,
    goal: Goal = "balanced",
    overrides: Mapping[str, Any] | None = None,
    data_config: Data | None = None,
    model_name: str | None = None,
) -> Plan:
    """Return the best plan for a goal, with its reasons, and the best for every other goal beside it.

    Args:
        model: What is tuned.
        device: Where.
        data: Its token lengths; None when no data is known yet.
        goal: What matters most.
        overrides: Dotted (or unique short) key to value that the user set; the rest is derived around them.
        data_config: The data section as the Data screen or the command line made it: files, format, columns.
        model_name: What the configuration calls the model; its folder or its name when None.

    Raises:
        InputError: a model that cannot be priced or trained; an override that its key cannot take, or that
            contradicts another or the device.
    """
    model.require_supported()
    user_set = {known_key(key): value for key, value in (overrides or {}).items()}
    defaults = default_config(model, data_config, model_name)
    request = build_request(model, device, data, goal, defaults, user_set, default_values=flatten(defaults))
    solution = solve_with_recommended(request, defaults)
    return assemble(request, solution, other_goals(request, solution.candidate))


def plan_of(config: FinetuneConfig, model: ModelSpec, device: Device, data: DataProfile | None) -> Plan:
    """Return the plan of a user's own configuration; values other than the recommended ones count as set by the user.

    Raises:
        InputError: it asks for what the device or the model cannot do.
    """
    model.require_supported()
    defaults = default_config(model, config.data, config.model)
    advised = build_request(model, device, data, "balanced", defaults, {}, default_values=flatten(defaults))
    solution = solve_with_recommended(advised, defaults)
    recommended = assemble(advised, solution).recommended
    best = flatten(solution.candidate.config)
    user_set = {key: value for key, value in flatten(config).items() if key not in best or best[key] != value}
    request = build_request(
        model, device, data, "balanced", config, user_set, price=advised.price, default_values=recommended
    )
    return assemble(request, Solution(Candidate(config, advised.price(config)), solution.searched))
