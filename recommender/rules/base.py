"""A rule: a small named unit that decides one or several keys, and explains them where the reasons are shown.

To add one, write two functions in the module of its subject, one from `Context` to values and one from `PricedContext`
and those values to reasons, and list them as a `Rule` in that module's `RULES`. A stage (`rules.stages`) says which
rules decide and in which order, so a rule sees what earlier rules decided in `context.config`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig, Goal
from recommender.data.profile.profile import DataProfile
from recommender.estimate.data_parallel import on_one_card, processes_of
from recommender.estimate.pricer import Pricer
from recommender.estimate.types import Estimate
from recommender.machine.facts import Device
from recommender.memory.learned.missing import learning
from recommender.memory.not_learned import NotLearned
from recommender.model.spec import ModelSpec
from recommender.rules.reason import Evidence, Reason
from recommender.steps import plan_steps
from recommender.units import duration, gib

COMFORT = 0.70
"""Share of free memory that the upper estimate of a plan may take and still leave room, however the base is held."""


@dataclass(frozen=True)
class Context:
    """Inputs of a rule's decision."""

    model: ModelSpec
    device: Device
    data: DataProfile | None
    goal: Goal
    config: FinetuneConfig
    """The configuration so far: the user's values, and those of earlier rules."""
    searched: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key to the value that the search over memory and time found best."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key to value that no rule changes: set by the user, or by the adapter that training starts from."""

    @cached_property
    def training_rows(self) -> int | None:
        """Rows that are trained on, without those held out; None without data."""
        if self.data is None:
            return None
        fraction = 0.0 if self.config.data.eval is not None else self.config.data.eval_fraction
        return max(1, self.data.rows - self.data.held_out_by_split(fraction, self.config.training.seed))

    @cached_property
    def trained_tokens(self) -> int | None:
        """Trained tokens of one epoch under the length limit; None without data."""
        if self.data is None or not self.training_rows:
            return None
        share = self.training_rows / max(1, self.data.rows)
        return round(self.data.trained_at(self.config.data.max_length) * share)

    @property
    def all_cards(self) -> FinetuneConfig:
        """Configuration under which one card does the work of all of them."""
        return on_one_card(self.config, self.processes)

    @property
    def processes(self) -> int:
        """Training processes, which share the rows of a step."""
        return processes_of(self.config, self.device)

    @property
    def steps(self) -> int | None:
        """Optimizer steps of the run; None where neither data nor max_steps says."""
        planned = plan_steps(self.all_cards, self.data)
        return self.config.training.max_steps if planned is None else planned.total


@dataclass(frozen=True, kw_only=True)
class PricedContext(Context):
    """A context with a whole configuration and its price, by which its values are explained."""

    price: Pricer
    estimate: Estimate
    """The configuration's price."""

    def needed(self, changes: Mapping[str, Any]) -> bool:
        """Return whether the plan would no longer fit with these values instead."""
        return self.priced(changes).fits != "yes"

    def priced(self, changes: Mapping[str, Any]) -> Estimate:
        """Return the price of the configuration with these values instead."""
        return self.price(with_values(self.config, changes))

    def compared(self, changes: Mapping[str, Any]) -> Estimate | None:
        """Return the same for a reason's comparison: None where a class would have to be learned for it alone."""
        try:
            with learning(None):
                return self.priced(changes)
        except NotLearned:
            return None


def room_share(goal: Goal, device: Device) -> float:
    """Share of free memory kept to where possible, by the upper end of the estimate: with 16 bits as with 4.

    All of it where quality or speed comes first, and on a CPU, where quantised products have no fast kernels.
    """
    return 1.0 if goal in ("best-quality", "fastest") or device.kind == "cpu" else COMFORT


Values = Mapping[str, Any]
"""Dotted key to value."""
Reasons = Mapping[str, Reason]
"""Dotted key to the reason for its value."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: the keys that it decides, their values, and the reasons for them."""

    name: str
    keys: tuple[str, ...]
    decide: Callable[[Context], Values]
    """Returns the recommended value of every key. Called often, for every candidate's frame: it prices nothing."""
    explain: Callable[[PricedContext, Values], Reasons]
    """Returns the reason for each of these values, which `decide` gave for the same configuration."""


def priced_line(label: str, price: Estimate) -> Evidence:
    """Return a line on an alternative's needs: memory, time of a step, and whether it fits."""
    step = f", {duration(price.time.step_seconds)} a step" if price.time else ""
    fits = "fits" if price.fits == "yes" else price.fits
    return Evidence(label, f"{gib(price.peak.process_bytes)}{step}", fits, measured=False)


def slower(before: Estimate, after: Estimate) -> float | None:
    """Return the increase of the step time as a share (0.3: 30 % longer); None where time is unknown."""
    if before.time is None or after.time is None or before.time.step_seconds <= 0:
        return None
    return after.time.step_seconds / before.time.step_seconds - 1


def by_how_much(share: float | None) -> str:
    """Return a change in time as text: 'about 30 % slower', 'about 2.1 times as slow', 'no slower'; '' if unknown."""
    if share is None:
        return ""
    if abs(share) < 0.005:
        return "no slower"
    if share >= 1:
        return f"about {1 + share:.1f} times as slow"
    return f"about {abs(share):.0%} {'slower' if share > 0 else 'faster'}".replace("%", " %")
