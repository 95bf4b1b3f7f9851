"""The solver: rules decide, the search finds the fastest plan that fits, and rules decide again around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from recommender.config.edit import value_of
from recommender.config.schema import FinetuneConfig
from recommender.plan.request import PlanRequest, build_request
from recommender.plan.search import ACCUMULATION, MICRO, RANK, SEARCHED, Candidate, Space, search
from recommender.rules.batch import per_card
from recommender.rules.registry import decide


@dataclass(frozen=True, slots=True)
class Solution:
    """The best candidate for a request, and the values that the search found for it."""

    candidate: Candidate
    searched: Mapping[str, Any]
    """Dotted key to value: every key of `SEARCHED`, and the rank where it was lowered."""


def solve(request: PlanRequest) -> Solution:
    """Solve a request: decide, search, and decide again the values that depend on the search."""
    first = decide(request.context({}), request.fixed)
    effective = per_card(replace(request.context({}), config=first))
    if {MICRO, ACCUMULATION} <= set(request.user_set):
        effective = first.training.effective_batch_size
    space = Space(
        request.model, request.device, request.data, request.goal, first, request.fixed, request.price, effective
    )
    found = search(space)
    searched = {key: value_of(found.config, key) for key in SEARCHED}
    if found.config.lora.r != first.lora.r:
        searched[RANK] = found.config.lora.r
    config = decide(request.context(searched), request.fixed)
    return Solution(Candidate(config, request.price(config)), searched)


def solve_with_recommended(request: PlanRequest, defaults: FinetuneConfig) -> Solution:
    """Solve a request, also for the values that the search would have found for the keys set by the user.

    Args:
        request: Built over `defaults`.
        defaults: The configuration under the user's values.
    """
    best = solve(request)
    if not any(key in SEARCHED for key in request.user_set):
        return best
    free = {key: value for key, value in request.user_set.items() if key not in SEARCHED}
    unbound = solve(
        build_request(request.model, request.device, request.data, request.goal, defaults, free, price=request.price)
    )
    theirs = {key: value for key, value in unbound.searched.items() if key in request.user_set}
    return Solution(best.candidate, {**best.searched, **theirs})
