"""A configuration decided and explained by the rules of its stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from recommender.config.edit import value_of, with_values
from recommender.config.schema import FinetuneConfig
from recommender.config.section import Section
from recommender.rules.base import Context, PricedContext
from recommender.rules.reason import Reason
from recommender.rules.stages import stage_rules


def decide(context: Context, fixed: Mapping[str, Any]) -> FinetuneConfig:
    """Return the configuration with every value decided that the user did not set.

    Args:
        context: With the user's values in its configuration.
        fixed: Dotted keys that the user, or the adapter that training starts from, has set: they stay as they are.
    """
    for rule in stage_rules(context.config).rules:
        values = {key: value for key, value in rule.decide(context).items() if key not in fixed}
        context = replace(context, config=with_values(context.config, values))
    return context.config


def recommended_value(context: Context, key: str) -> Any:
    """Return the value that the rules of the stage recommend for a key under this configuration.

    Raises:
        StopIteration: No rule decides it.
    """
    return next(rule.decide(context)[key] for rule in stage_rules(context.config).rules if key in rule.keys)


def explain(
    context: PricedContext, user_set: Mapping[str, Any], settled: Mapping[str, Any]
) -> tuple[dict[str, Reason], dict[str, Any]]:
    """Return the reason for every value of a priced configuration, and every value that is recommended.

    Args:
        context: With the final configuration and its estimate.
        user_set: Dotted keys that the user set: their reasons say so, and what was recommended.
        settled: Dotted keys that the adapter settles which training goes on from.
    """
    reasons: dict[str, Reason] = {}
    recommended: dict[str, Any] = {}
    for rule in stage_rules(context.config).rules:
        for key, reason in rule.explain(context, rule.decide(context)).items():
            if key in settled:
                reason = _of_adapter(context.config, reason, settled[key])
            recommended[key] = reason.value
            reasons[key] = _yours(context.config, key, reason) if key in user_set else _in_effect(context, key, reason)
    return reasons, recommended


def _of_adapter(config: FinetuneConfig, reason: Reason, value: Any) -> Reason:
    """Return the reason for a value that an adapter brings."""
    otherwise = "" if value == reason.value else f" A new adapter would get {shown(reason.value)}."
    return Reason(
        value, f"As the adapter has it that training goes on from.{otherwise}", str(config.start_from), "high"
    )


def _in_effect(context: PricedContext, key: str, reason: Reason) -> Reason:
    """Return the reason, or that a value of the adapter does nothing where none is trained."""
    if context.config.method != "full" or not (key.startswith("lora.") or key == "data.task"):
        return reason
    return Reason(reason.value, "Without effect: every weight is trained, there is no adapter.", "PEFT", "high")


def _yours(config: FinetuneConfig, key: str, reason: Reason) -> Reason:
    value = value_of(config, key)
    if value == reason.value:
        return replace(reason, why=f"You set this, as is recommended. {reason.why}")
    return replace(
        reason,
        value=value.model_dump() if isinstance(value, Section) else value,
        why=f"You set this; recommended was {shown(reason.value)}, and why: {reason.why}",
    )


def shown(value: Any) -> str:
    """Return a value as the form shows it."""
    from recommender.config.io import value_text

    if isinstance(value, Section):
        return ", ".join(f"{key} {shown(each)}" for key, each in value.model_dump().items())
    return "none" if value is None else value_text(value)
