"""Whether a model's own Python code may run: asked once for each model, never assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TRUST: Final = "trust_remote_code"


def asks_first(changes: Mapping[str, Any], overrides: Mapping[str, Any]) -> bool:
    """Whether a model that was read needs a yes that nobody has given.

    Args:
        changes: What became known; its model and its name, or nothing of a model.
        overrides: What the person set so far.
    """
    model = changes.get("model")
    return model is not None and bool(model.own_code) and not _names(overrides, changes["model_name"])


def without_other_code(overrides: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The person's values without a yes that was for another model."""
    return {key: value for key, value in overrides.items() if key != TRUST or _names(overrides, name)}


def _names(overrides: Mapping[str, Any], name: str) -> bool:
    from recommender.config.schema import same_model

    agreed = overrides.get(TRUST)
    return isinstance(agreed, str) and same_model(agreed, name)
