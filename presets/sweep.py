"""The measured sweep of learning rates by rank: evidence beside the plan's rate and rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from presets.yaml_file import read_yaml

FILE = Path(__file__).with_name("evidence") / "rate_rank_sweep.yaml"


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One model at one rank."""

    model: str
    family: str
    parameters: float
    """In all, by which the rate's law goes."""
    r: int
    test_nll: Mapping[float, float]
    """Learning rate to test loss, nats a token."""

    @property
    def best_rate(self) -> float:
        """The swept rate of least loss."""
        return min(self.test_nll, key=lambda rate: self.test_nll[rate])


@dataclass(frozen=True, slots=True)
class Sweep:
    """The table with the conditions under which it was measured."""

    source: str
    data: str
    steps: int
    batch: int
    """Rows an optimizer step."""
    lora_alpha: int
    rows: tuple[SweepRow, ...]

    def nearest(self, family: str, parameters: float, r: int) -> SweepRow | None:
        """The family's model nearest in parameters, at its swept rank nearest to r; None for a family not there.

        Nearest by ratio: the law of the rate is one of powers, of the parameters and of the rank.
        """
        rows = [row for row in self.rows if row.family == family]
        return min(rows, key=lambda row: (_ratio(row.parameters, parameters), _ratio(row.r, r)), default=None)

    def same_model(self, row: SweepRow) -> tuple[SweepRow, ...]:
        """The rows of that model, by rank."""
        return tuple(sorted((other for other in self.rows if other.model == row.model), key=lambda other: other.r))


def _ratio(one: float, other: float) -> float:
    """The ratio of the greater to the smaller, 1 or more."""
    return max(one / other, other / one)


@cache
def load_sweep() -> Sweep:
    """The shipped table."""
    content = read_yaml(FILE)
    conditions = content["conditions"]
    return Sweep(
        source=content["source"],
        data=conditions["data"],
        steps=conditions["steps"],
        batch=conditions["batch"],
        lora_alpha=conditions["lora_alpha"],
        rows=tuple(SweepRow(**row) for row in content["rows"]),
    )
