"""Values of the plan that change the tokens themselves: data is read as the plan says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recommender.plan.types import Plan

READ_AGAIN: Mapping[str, str] = {
    f"data.{leaf}": leaf for leaf in ("train_on", "template", "chat_template_kwargs", "reasoning", "answers", "format")
}
"""Keys of the configuration that change the tokens, and their names in the wizard's `data`."""


def to_read_again(before: Mapping[str, Any], after: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `data` that an edit changes for reading the rows; None where a value of the person's was taken back.

    Args:
        before: The person's values before it, dotted key to value.
        after: The person's values after it.
        data: The `data` section that rows are read with.
    """
    from recommender.config.schema import Data

    def effective(leaf: str, value: Any) -> Any:
        return Data.model_fields[leaf].get_default(call_default_factory=True) if value is None else value

    return {
        leaf: after.get(key)
        for key, leaf in READ_AGAIN.items()
        if before.get(key) != after.get(key) and effective(leaf, after.get(key)) != effective(leaf, data.get(leaf))
    }


def out_voted(plan: Plan | None, changes: Mapping[str, Any]) -> list[str]:
    """Keys of the plan that no longer hold, because the Data screen reads with another value from now on.

    Args:
        plan: With the person's values.
        changes: Of the wizard's `data` section.
    """
    if plan is None:
        return []
    return [
        key
        for key, leaf in READ_AGAIN.items()
        if leaf in changes and key in plan.overrides and plan.overrides[key] != changes[leaf]
    ]


def without_edits(data: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The `data` section less the plan's own values: those recommended in their place are not the person's.

    Args:
        data: As rows are read.
        given: The person's values, dotted key to value.
    """
    edits = {leaf for key, leaf in READ_AGAIN.items() if key in given} | {"max_length"}
    return {key: value for key, value in data.items() if key not in edits}
