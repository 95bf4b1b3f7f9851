"""Assembly of a plan from a solution: reasons, recommended values, remedies and warnings."""

from __future__ import annotations

from recommender.plan.checks.conflicts import refuse_start
from recommender.plan.checks.warnings import warnings_of
from recommender.plan.remedies import remedies
from recommender.plan.request import PlanRequest
from recommender.plan.solve import Solution
from recommender.plan.types import Alternative, Plan
from recommender.rules.base import PricedContext
from recommender.rules.registry import explain


def assemble(request: PlanRequest, solution: Solution, alternatives: tuple[Alternative, ...] = ()) -> Plan:
    """Return the plan of a solution, with the reason for every value.

    Args:
        request: What was asked.
        solution: The priced configuration, and what the search found.
        alternatives: The best for the other goals, where they were worked out.

    Raises:
        InputError: The base cannot give the adapter, or the start of it, that the configuration asks for.
    """
    config, estimate = solution.candidate.config, solution.candidate.estimate
    refuse_start(config, request.model, request.device)
    context = PricedContext(
        request.model,
        request.device,
        request.data,
        request.goal,
        config,
        solution.searched,
        request.fixed,
        price=request.price,
        estimate=estimate,
    )
    reasons, recommended = explain(context, request.user_set, request.settled)
    offered = (
        ()
        if estimate.fits == "yes"
        else remedies(config, request.model, request.device, request.data, estimate, price=request.price)
    )
    return Plan(
        goal=request.goal,
        config=config,
        estimate=estimate,
        reasons=reasons,
        alternatives=alternatives,
        remedies=offered,
        warnings=warnings_of(config, request.model, request.device, request.data, estimate, offered),
        device=request.device,
        model=request.model,
        data=request.data,
        overrides=dict(request.user_set),
        recommended={**request.default_values, **recommended},
        searched=dict(solution.searched),
    )
