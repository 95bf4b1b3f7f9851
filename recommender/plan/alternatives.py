"""The best plans for the other goals, beside the plan that was made."""

from __future__ import annotations

from dataclasses import replace

from recommender.plan.request import GOALS, PlanRequest, build_request
from recommender.plan.search import Candidate
from recommender.plan.solve import solve
from recommender.plan.tradeoffs import gains, gives_up
from recommender.plan.types import Alternative, Plan


def alternatives(plan: Plan) -> tuple[Alternative, ...]:
    """Return the best for every other goal, around the values that the user has set by now.

    The others are priced by the formula, so the plan is compared by it too, even where it was traced.
    """
    request = build_request(plan.model, plan.device, plan.data, plan.goal, plan.config, plan.overrides)
    return other_goals(request, Candidate(plan.config, request.price(plan.config)))


def other_goals(request: PlanRequest, chosen: Candidate) -> tuple[Alternative, ...]:
    """Solve a request for every other goal, and compare each solution with the candidate that was chosen."""
    found = []
    for goal in GOALS:
        if goal != request.goal:
            other = solve(replace(request, goal=goal)).candidate
            lost, gained = gives_up(chosen, other, request.data), gains(chosen, other, request.data)
            found.append(Alternative(goal, other.config, other.estimate, lost, gained))
    return tuple(found)
