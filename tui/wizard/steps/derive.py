"""The plan of a draft: of a search, or of the plan before it where only the person's values differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from presets.errors import WizardError
from tui.wizard.draft import Draft, difference

if TYPE_CHECKING:
    from recommender.data.dataset import DataSet
    from recommender.plan.types import Plan
    from tui.wizard.plan_service import PlanService


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """All that the plan of a draft follows from."""

    draft: Draft
    dataset: DataSet | None
    """The draft's rows."""
    base: Plan | None
    """A plan for the draft's device, model and data; None: a search is needed."""
    edits: Sequence[Draft] = ()
    """Drafts after that of `base` and before this one."""


@dataclass(frozen=True, slots=True)
class Derived:
    """Plans of the newest draft and of those before it, as far as they could be made."""

    plans: Sequence[tuple[Draft, Plan]]
    """The newest last; none where nothing of the edits could be kept."""
    error: WizardError | None = None
    """Why an edit was left out."""


def derive(service: PlanService, inputs: PlanInputs) -> Derived:
    """Return the plan of a draft. Where it cannot be, edits that can are kept, each by itself.

    Raises:
        WizardError: there is no plan, and no base to keep edits on.
    """
    try:
        return Derived(((inputs.draft, plan_of(service, inputs)),))
    except WizardError as error:
        if inputs.base is None:
            raise
        return Derived(_each_by_itself(service, inputs.base, [*inputs.edits, inputs.draft]), error)


def plan_of(service: PlanService, inputs: PlanInputs) -> Plan:
    """Return the plan of a draft.

    Raises:
        WizardError: a value that contradicts another, the model or the device.
    """
    draft, base = inputs.draft, inputs.base
    if base is not None and base.goal == draft.goal:
        return service.replan(base, *difference(base.overrides, draft.values))
    if draft.model is None or draft.device is None:
        raise TypeError("a plan is of a model on a device")
    return service.recommend(
        draft.model, draft.device, inputs.dataset, goal=draft.goal, overrides=draft.values, data=draft.data
    )


def _each_by_itself(service: PlanService, base: Plan, drafts: Sequence[Draft]) -> list[tuple[Draft, Plan]]:
    """Plans of the edits that can be made, one upon the other; refused ones and other goals are left out."""
    plan, before = base, base.overrides
    made: list[tuple[Draft, Plan]] = []
    for draft in drafts:
        changes, without = difference(before, draft.values)
        before = draft.values
        if not changes and not without:
            continue
        try:
            plan = service.replan(plan, changes, without)
        except WizardError:
            continue
        made.append((replace(draft, goal=base.goal, values=plan.overrides), plan))
    return made
