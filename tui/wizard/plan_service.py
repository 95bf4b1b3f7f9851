"""What the wizard asks of the planning: searches, edits, prices, a trace, and the configuration as a file.

The real one imports what it needs when it is called: the first frame waits for none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from presets.recipes import Recipe
    from recommender.config.schema import Data, Goal
    from recommender.data.dataset import DataSet
    from recommender.estimate.types import Estimate
    from recommender.machine.facts import Device
    from recommender.model.spec import ModelSpec
    from recommender.plan.types import Alternative, Plan

OnProgress = Callable[[int, int], None]
"""Called with the number done and the number in all (0 where unknown)."""
Cancelled = Callable[[], bool]


class PlanService(Protocol):
    """Interface of the planning; each method raises `WizardError` where there is a message for the person.

    `recommend` and `trace` may take long and are called in a worker thread; the others answer between two keys.
    """

    def recommend(
        self,
        model: ModelSpec,
        device: Device,
        dataset: DataSet | None,
        *,
        goal: Goal,
        overrides: Mapping[str, Any],
        data: Mapping[str, Any],
    ) -> Plan:
        """The best plan."""

    def replan(self, plan: Plan, changes: Mapping[str, Any], without: Iterable[str] = ()) -> Plan:
        """The plan after an edit."""

    def edited_values(
        self, plan: Plan, values: Mapping[str, Any], changes: Mapping[str, Any], without: Iterable[str] = ()
    ) -> Mapping[str, Any]:
        """All values of the person after an edit, by full key; `plan` may be of other values."""

    def alternatives(self, plan: Plan) -> Sequence[Alternative]:
        """The best plan for every other goal, with the person's values."""

    def price(self, plan: Plan, changes: Mapping[str, Any]) -> Estimate:
        """Estimate of a plan with these values."""

    def trace(self, plan: Plan, on_progress: OnProgress, cancelled: Cancelled) -> Estimate:
        """Trace the plan: estimate its needs by running the real model on tensors without data."""

    def with_estimate(self, plan: Plan, estimate: Estimate) -> Plan:
        """The plan with another estimate of it, and the values that follow from it."""

    def recipes(self) -> Sequence[Recipe]:
        """Presets that ship with the program."""

    def write_config(self, plan: Plan, path: Path) -> None:
        """Save a plan's configuration, whole or not at all."""


@dataclass(frozen=True, slots=True)
class RealPlans:
    """The program's own planning."""

    runs: Path
    """Folder of the runs, whose adapters training may start from."""

    def recommend(
        self,
        model: ModelSpec,
        device: Device,
        dataset: DataSet | None,
        *,
        goal: Goal,
        overrides: Mapping[str, Any],
        data: Mapping[str, Any],
    ) -> Plan:
        """See `PlanService`."""
        from recommender.plan.recommend import recommend

        profile, placed = dataset.profile if dataset else None, self._placed(overrides)
        return recommend(model, device, profile, goal=goal, overrides=placed, data_config=data_section(data))

    def replan(self, plan: Plan, changes: Mapping[str, Any], without: Iterable[str] = ()) -> Plan:
        """See `PlanService`."""
        from recommender.plan.edit import replan

        return replan(plan, self._placed(changes), without)

    def edited_values(
        self, plan: Plan, values: Mapping[str, Any], changes: Mapping[str, Any], without: Iterable[str] = ()
    ) -> Mapping[str, Any]:
        """See `PlanService`."""
        from recommender.plan.edit import edited_values

        return edited_values(plan, values, self._placed(changes), without)

    def alternatives(self, plan: Plan) -> Sequence[Alternative]:
        """See `PlanService`."""
        from recommender.plan.alternatives import alternatives

        return plan.alternatives or alternatives(plan)

    def price(self, plan: Plan, changes: Mapping[str, Any]) -> Estimate:
        """See `PlanService`."""
        from recommender.config.edit import apply
        from recommender.estimate.estimate import estimate
        from recommender.plan.starting_adapter import with_start

        config = with_start(apply(plan.config, self._placed(changes)), plan.model)
        return estimate(config, plan.model, plan.device, plan.data)

    def trace(self, plan: Plan, on_progress: OnProgress, cancelled: Cancelled) -> Estimate:
        """See `PlanService`."""
        from trainer.trace.ask import trace

        def progress(_phase: str, done: int, total: int) -> None:
            on_progress(done, total)

        return trace(plan.config, plan.model, plan.device, plan.data, progress=progress, cancelled=cancelled)

    def with_estimate(self, plan: Plan, estimate: Estimate) -> Plan:
        """See `PlanService`."""
        from recommender.plan.edit import with_estimate

        return with_estimate(plan, estimate)

    def recipes(self) -> Sequence[Recipe]:
        """See `PlanService`."""
        from presets.recipes import load_recipes

        return load_recipes()

    def write_config(self, plan: Plan, path: Path) -> None:
        """See `PlanService`."""
        from recommender.config.io import write_config

        write_config(path, plan.config, {key: reason.why for key, reason in plan.reasons.items()})

    def _placed(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """The changes with the adapter's folder where `start_from` names a run."""
        from trainer.preflight.start_from import placed

        return placed(changes, self.runs)


def data_section(data: Mapping[str, Any]) -> Data:
    """The `data` section of a configuration.

    Raises:
        InputError: a value that its key cannot take.
    """
    from pydantic import ValidationError

    from recommender.config.problems import input_error
    from recommender.config.schema import FinetuneConfig

    try:
        return FinetuneConfig.model_validate({"model": "model", "data": dict(data)}).data
    except ValidationError as error:
        raise input_error(error) from None
