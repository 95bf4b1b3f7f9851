"""Edits of a plan: priced and derived again without another search; and the user's values after an edit, unpriced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from recommender.config.edit import apply, known_key, owner, value_of, with_followers
from recommender.estimate.pricer import centred, pricer
from recommender.estimate.types import Estimate
from recommender.plan.assemble import assemble
from recommender.plan.plain import plain
from recommender.plan.request import build_request
from recommender.plan.search import SEARCHED, Candidate
from recommender.plan.solve import Solution
from recommender.plan.types import Plan
from recommender.rules.registry import decide


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit of a plan, resolved; dotted key to value throughout."""

    user_set: Mapping[str, Any]
    """All of the user's values after it."""
    restored: Mapping[str, Any]
    """Recommended values that come back, because the user dropped their own."""
    new: Mapping[str, Any]
    """The values that it sets, with those that follow from them."""


def resolve_edit(plan: Plan, changes: Mapping[str, Any], without: Iterable[str] = ()) -> Edit:
    """Resolve an edit: keys in full, the method and its bits together, dropped values back to the recommended ones.

    Args:
        plan: The plan on the screen.
        changes: Dotted (or short) key to the user's new value.
        without: Keys whose own value is dropped.

    Raises:
        InputError: a key that does not exist.
    """
    dropped = {owner(known_key(key)) for key in without}
    dropped |= {"method", "quantization.bits"} if dropped & {"method", "quantization.bits"} else set()
    new = with_followers(plan.config, {known_key(key): value for key, value in changes.items()})
    user_set = {key: value for key, value in plan.overrides.items() if key not in dropped} | new
    restored = {key: plan.recommended[key] for key in dropped if key in plan.recommended}
    return Edit(user_set, restored, new)


def replan(plan: Plan, changes: Mapping[str, Any], without: Iterable[str] = ()) -> Plan:
    """Return the plan after an edit: priced again, dependent values derived again. The search is not repeated.

    The alternatives are left out, since each takes a search: `alternatives` works them out when they are asked for.

    Args:
        plan: The plan on the screen.
        changes: Dotted (or short) key to the user's new value.
        without: Keys whose own value is dropped: they go back to what is recommended.

    Raises:
        InputError: as `recommend`.
    """
    edit = resolve_edit(plan, changes, without)
    request = build_request(
        plan.model,
        plan.device,
        plan.data,
        plan.goal,
        apply(plan.config, edit.restored),
        edit.user_set,
        default_values=plan.recommended,
    )
    kept = {
        key: value_of(request.base_config, key) if key in SEARCHED else value for key, value in plan.searched.items()
    }
    config = decide(request.context(kept), request.fixed)
    return assemble(request, Solution(Candidate(config, request.price(config)), plan.searched))


def with_estimate(plan: Plan, estimate: Estimate) -> Plan:
    """Return the plan with another estimate of its configuration, and new remedies, warnings and reasons from it.

    What a change would need is then as far from the formula as the plan itself. The alternatives stay the formula's.

    Args:
        plan: As it was priced.
        estimate: Of the same configuration, such as a trace gives.
    """
    request = build_request(
        plan.model,
        plan.device,
        plan.data,
        plan.goal,
        plan.config,
        plan.overrides,
        price=centred(pricer(plan.model, plan.device, plan.data), plan.config, estimate),
        default_values=plan.recommended,
    )
    return assemble(request, Solution(Candidate(plan.config, estimate), plan.searched), plan.alternatives)


def edited_values(
    plan: Plan, values: Mapping[str, Any], changes: Mapping[str, Any], without: Iterable[str] = ()
) -> dict[str, Any]:
    """Return all values of the user after an edit, by full key, as the configuration takes them. Nothing is priced.

    Args:
        plan: The plan on the screen; it may have been made with other values of the user.
        values: The user's values before the edit, by dotted key.
        changes: As for `replan`.
        without: As for `replan`.

    Raises:
        InputError: a key that does not exist, or a value that its key cannot take.
    """
    user_set = resolve_edit(with_user_values(plan, values), changes, without).user_set
    config = with_user_values(plan, user_set).config
    return {name: plain(value_of(config, name)) for name in map(owner, user_set)}


def with_user_values(plan: Plan, values: Mapping[str, Any]) -> Plan:
    """Return the plan with exactly these values of the user. Its estimate, reasons and other values stay as they were.

    Args:
        plan: To be shown until the plan of these values is there.
        values: Full dotted key to value; the user's other values go back to what is recommended.

    Raises:
        InputError: a value that its key cannot take.
    """
    held = plan.overrides
    new = {key: value for key, value in values.items() if key not in held or held[key] != value}
    restored = {key: plan.recommended[key] for key in held if key not in values and key in plan.recommended}
    if not new and held.keys() <= values.keys():
        return plan
    return replace(plan, config=apply(plan.config, {**restored, **new}), overrides=dict(values))
