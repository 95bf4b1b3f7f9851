"""The base of every section of the configuration, and its kinds of number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def no_booleans(value: Any) -> Any:
    """Refuse booleans: YAML's `yes` must not become the number 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def number_words(value: Any) -> Any:
    """Convert number-like text to a float: YAML 1.1 reads 2e-4 (no dot) as a string."""
    value = no_booleans(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


Number = Annotated[float, BeforeValidator(number_words)]
Count = Annotated[int, BeforeValidator(no_booleans)]
# Where a value may be null too, or is in a mapping, its range stands before the validator: else pydantic 2.14 writes it
# into the JSON schema in words of its own, which no editor knows.
PositiveCount = Annotated[int, Field(ge=1), BeforeValidator(no_booleans)]
Index = Annotated[int, Field(ge=0, strict=True), BeforeValidator(no_booleans)]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)
