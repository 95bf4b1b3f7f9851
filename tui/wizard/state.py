"""State of the wizard: the draft and what is derived from it, one frozen value that every screen watches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from tui.terminal.sanitize import clean
from tui.widgets.top_bar import DeviceLine, Step
from tui.wizard.draft import MAX_LENGTH, Draft, History

if TYPE_CHECKING:
    from presets.errors import WizardError
    from recommender.data.dataset import DataSet
    from recommender.data.profile.first_look import FirstLook
    from recommender.machine.facts import Device, Gpu, Machine
    from recommender.model.spec import ModelSpec
    from recommender.plan.types import Plan

LOW_MEMORY = 0.1
"""Share of a device's memory below which its free memory is shown as low."""
DRIFT = 0.05
"""Share by which free memory may differ from what the plan was made with before the plan says so."""
_SUFFIX = re.compile(r"[-_](instruct|chat|it)$", re.IGNORECASE)
"""Ending of a model's name that says little and is dropped where there is little room."""
DEFAULT_LENGTH = 1024
"""`data.max_length` until a plan says better; the schema's own default."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a piece of work."""

    what: str
    done: int = 0
    total: int = 0
    """0 where unknown."""
    seconds_left: float | None = None
    unit: str = "rows"
    """Unit of `done` and `total`: 'rows' or 'bytes'."""


class Changes(TypedDict, total=False):
    """Fields of the state, by name, with their new values."""

    draft: Draft
    history: History
    machine: Machine | None
    gpus_now: tuple[Gpu, ...]
    free_now: int | None
    dataset: DataSet | None
    first_look: FirstLook | None
    plan: Plan | None
    planned: Draft | None
    kept: Mapping[str, Any]
    price: float | None
    run: Path | None
    working: Mapping[Step, Progress]
    errors: Mapping[Step, WizardError]
    muted: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class WizardState:
    """The draft, and the results of all steps. None: not done yet."""

    draft: Draft = field(default_factory=Draft)
    history: History = field(default_factory=History)
    machine: Machine | None = None
    gpus_now: tuple[Gpu, ...] = ()
    """GPUs at the last poll."""
    free_now: int | None = None
    """Bytes free on the device at the last poll."""
    dataset: DataSet | None = None
    first_look: FirstLook | None = None
    """Estimates of all rows from some of them, until all have been read."""
    plan: Plan | None = None
    planned: Draft | None = None
    """Draft that the plan was worked out for; None where its values are newer than its figures."""
    kept: Mapping[str, Any] = field(default_factory=dict)
    """The person's values as the command line gave them, or as they were last saved or trained."""
    price: float | None = None
    """Dollars an hour; None where it is not known."""
    run: Path | None = None
    """Folder of the run that was started here."""
    working: Mapping[Step, Progress] = field(default_factory=dict)
    """Progress of the work that goes on now, by step."""
    errors: Mapping[Step, WizardError] = field(default_factory=dict)
    """Reason of the failure, by step."""
    muted: frozenset[str] = frozenset()
    """Codes of warnings that are only counted, while the wizard is open."""

    @property
    def device(self) -> Device | None:
        """The draft's device."""
        return self.draft.device

    @property
    def model(self) -> ModelSpec | None:
        """The draft's model."""
        return self.draft.model

    @property
    def model_name(self) -> str:
        """The draft's model as the person named it."""
        return self.draft.model_name

    @property
    def data(self) -> Mapping[str, Any]:
        """The draft's `data` section."""
        return self.draft.data

    @property
    def done(self) -> frozenset[Step]:
        """Steps that have a result."""
        results = {
            Step.MACHINE: self.device is not None,
            Step.MODEL: self.model is not None,
            Step.DATA: self.dataset is not None,
            Step.PLAN: self.plan is not None,
            Step.CHECK: self.run is not None,
        }
        return frozenset(step for step, there in results.items() if there)

    def errors_with(self, error: WizardError | None, *steps: Step) -> Mapping[Step, WizardError]:
        """Return the errors with this one for these steps; None takes theirs away."""
        others = {step: other for step, other in self.errors.items() if step not in steps}
        return others if error is None else {**others, **dict.fromkeys(steps, error)}

    def working_with(self, step: Step, progress: Progress | None) -> Mapping[Step, Progress]:
        """Return what is being done, with this for a step; None takes the step's away."""
        others = {at: other for at, other in self.working.items() if at is not step}
        return others if progress is None else {**others, step: progress}

    @property
    def names(self) -> tuple[tuple[Step, str], ...]:
        """Short names of the choices for the top bar; the model first, since its name is missed most."""
        named = []
        if self.model is not None:
            title = (self.model.hub_id or self.model_name).rstrip("/").rpartition("/")[2]
            named.append((Step.MODEL, clean(_SUFFIX.sub("", title) or title)))
        if self.dataset is not None and self.dataset.profile.files:
            files = self.dataset.profile.files
            more = f" +{len(files) - 1}" if len(files) > 1 else ""
            named.append((Step.DATA, clean(files[0].name) + more))
        return tuple(named)

    @property
    def failed(self) -> Mapping[Step, WizardError]:
        """Errors of the steps that a plan rests on and that have no result, in their order."""
        rests_on = (Step.MACHINE, Step.MODEL, Step.DATA)
        return {step: self.errors[step] for step in rests_on if step in self.errors and step not in self.done}

    @property
    def length(self) -> int:
        """The length limit that holds now: the draft's, else the plan's."""
        length = self.draft.values.get(MAX_LENGTH)
        if isinstance(length, int) and length > 0:
            return length
        return DEFAULT_LENGTH if self.plan is None else self.plan.config.data.max_length

    def belongs(self, plan: Plan) -> bool:
        """Whether a plan was made for the device, the model and the data that are chosen now."""
        profile = None if self.dataset is None else self.dataset.profile
        return plan.device == self.device and plan.model is self.model and plan.data is profile

    @property
    def stale(self) -> bool:
        """Whether there is a plan, but for another device, model or data."""
        return self.plan is not None and not self.belongs(self.plan)

    @property
    def settled(self) -> bool:
        """Whether the plan is the draft's, for what is chosen now: nothing has to be worked out."""
        plan, planned, draft = self.plan, self.planned, self.draft
        if plan is None or planned is None or not self.belongs(plan):
            return False
        return planned is draft or (planned.goal == draft.goal and dict(planned.values) == dict(draft.values))

    @property
    def unsaved(self) -> bool:
        """Whether the draft has values of the person that are neither saved nor trained."""
        return self.plan is not None and dict(self.draft.values) != dict(self.kept)

    @property
    def memory_moved(self) -> bool:
        """Whether free memory is no longer about what the plan was made with."""
        plan = self.plan
        if plan is None or self.stale or plan.device.simulated or self.free_now is None:
            return False
        return abs(self.free_now - plan.device.free_bytes) > DRIFT * plan.device.total_bytes

    def device_line(self) -> DeviceLine:
        """The right end of the top bar."""
        from recommender.units import gib_number

        device = self.device
        if device is None:
            return DeviceLine()
        free = device.free_bytes if self.free_now is None or device.simulated else self.free_now
        if device.kind == "cpu":
            name = f"cpu {device.cores} cores" if device.cores else "cpu"
        else:
            name = device.name if device.index is None else f"gpu{device.index} {device.name}"
        low = free < LOW_MEMORY * device.total_bytes
        return DeviceLine(name, gib_number(free), gib_number(device.total_bytes), device.simulated, low)
