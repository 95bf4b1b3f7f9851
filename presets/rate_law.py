"""The law of LoRA's learning rate by size, rank and family, as it was fitted to the measured sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from presets.yaml_file import read_yaml

FILE = Path(__file__).with_name("evidence") / "rate_law.yaml"
REFERENCE_PARAMETERS = 8e9
REFERENCE_RANK = 64


@dataclass(frozen=True, slots=True)
class RateLaw:
    """rate = base × (parameters / 8e9)^size × (r / 64)^rank × the family's factor, at lora_alpha 32."""

    base: float
    size: float
    """Exponent of the parameters; negative: larger models want less."""
    rank: float
    """Exponent of the rank; positive: under alpha / r scaling, higher ranks want a little more."""
    highest: float
    """The highest rate that was best for any swept model and rank: beyond it everything is a guess."""
    uncalibrated: float
    """The rate for a family that was not swept, or of which one model was."""
    families: Mapping[str, float]
    """Factor by family; only those of which at least two models were swept."""
    parameters: tuple[float, float]
    """Least and most parameters of the fitted models."""
    ranks: tuple[int, int]
    """Least and greatest swept rank."""

    def raw(self, family: str, parameters: float, r: int) -> float | None:
        """The law's rate before the cap; None for a family without a factor."""
        factor = self.families.get(family)
        if factor is None:
            return None
        low, high = self.ranks
        r = min(max(r, low), high)
        by_size: float = (parameters / REFERENCE_PARAMETERS) ** self.size
        by_rank: float = (r / REFERENCE_RANK) ** self.rank
        return self.base * by_size * by_rank * factor

    def rate(self, family: str, parameters: float, r: int) -> float:
        """The recommended learning rate at lora_alpha 32: the law, capped, or the rate for families without one."""
        raw = self.raw(family, parameters, r)
        return self.uncalibrated if raw is None else min(raw, self.highest)


@cache
def load_rate_law() -> RateLaw:
    """The shipped law."""
    law = dict(read_yaml(FILE)["law"])
    return RateLaw(parameters=tuple(law.pop("parameters")), ranks=tuple(law.pop("ranks")), **law)
