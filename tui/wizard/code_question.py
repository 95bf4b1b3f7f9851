"""Whether a model's own Python code may run: asked once for each model, never assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from recommender.model.spec import ModelSpec

TRUST: Final = "trust_remote_code"


def asks_first(model: ModelSpec, name: str, overrides: Mapping[str, Any]) -> bool:
    """Return whether a model's own code still needs the person's consent.

    Args:
        model: As it was read.
        name: As the person gave it.
        overrides: The person's values so far, dotted key to value.
    """
    return bool(model.own_code) and not _names(overrides, name)


def without_other_code(overrides: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The person's values without a yes that was for another model."""
    return {key: value for key, value in overrides.items() if key != TRUST or _names(overrides, name)}


def _names(overrides: Mapping[str, Any], name: str) -> bool:
    from recommender.config.schema import same_model

    agreed = overrides.get(TRUST)
    return isinstance(agreed, str) and same_model(agreed, name)
