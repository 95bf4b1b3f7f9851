"""State of the wizard: one frozen value of all that it knows so far, replaced whole, watched by every screen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from tui.terminal.sanitize import clean
from tui.widgets.top_bar import DeviceLine, Step

if TYPE_CHECKING:
    from presets.errors import WizardError
    from recommender.config.schema import Goal
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


class PresetChanges(TypedDict, total=False):
    """Fields of the state that an applied preset changes beside the plan."""

    preset: str
    preset_values: Mapping[str, Any]


class Changes(PresetChanges, total=False):
    """Fields of the state, by name, with their new values."""

    machine: Machine | None
    gpus_now: tuple[Gpu, ...]
    device: Device | None
    free_now: int | None
    model_name: str
    model: ModelSpec | None
    data: Mapping[str, Any]
    dataset: DataSet | None
    first_look: FirstLook | None
    max_length: int | None
    goal: Goal
    overrides: Mapping[str, Any]
    plan: Plan | None
    kept: Mapping[str, Any]
    price: float | None
    run: Path | None
    working: Mapping[Step, Progress]
    errors: Mapping[Step, WizardError]


@dataclass(frozen=True, slots=True, eq=False)
class WizardState:
    """Results of all steps. None: not done yet."""

    machine: Machine | None = None
    gpus_now: tuple[Gpu, ...] = ()
    """GPUs at the last poll."""
    device: Device | None = None
    """Device that is planned for."""
    free_now: int | None = None
    """Bytes free on the device at the last poll."""
    model_name: str = ""
    """Name of the model as the person gave it."""
    model: ModelSpec | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    """The `data` section as the person made it: train, format, columns, train_on, skip_bad_rows …"""
    dataset: DataSet | None = None
    first_look: FirstLook | None = None
    """Estimates of all rows from some of them, until all have been read."""
    max_length: int | None = None
    """The length limit that the person chose on the Data screen; None leaves it to the plan."""
    goal: Goal = "balanced"
    """Goal that was asked for last; the plan is for it once it has been worked out."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Values set on the command line, dotted key to value; the plan takes them over."""
    plan: Plan | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)
    """The person's values as the command line gave them, or as they were last saved or trained."""
    preset: str = ""
    """Name of the preset that was applied last; see `preset_shown`."""
    preset_values: Mapping[str, Any] = field(default_factory=dict)
    """Values that the preset set, dotted key to value."""
    price: float | None = None
    """Dollars an hour; None where it is not known."""
    run: Path | None = None
    """Folder of the run that was started here."""
    working: Mapping[Step, Progress] = field(default_factory=dict)
    """Progress of the work that goes on now, by step."""
    errors: Mapping[Step, WizardError] = field(default_factory=dict)
    """Reason of the failure, by step."""

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
        """The length limit that holds now."""
        if self.plan is not None:
            return self.plan.config.data.max_length
        return int(self.max_length or self.overrides.get("data.max_length") or DEFAULT_LENGTH)

    def belongs(self, plan: Plan) -> bool:
        """Whether a plan was made for the device, the model and the data that are chosen now."""
        profile = None if self.dataset is None else self.dataset.profile
        return plan.device == self.device and plan.model is self.model and plan.data is profile

    @property
    def outdated(self) -> bool:
        """Whether there is a plan, but for another device, model or data."""
        return self.plan is not None and not self.belongs(self.plan)

    @property
    def aim(self) -> Goal:
        """Goal to display: the current plan's, or the requested goal while the plan is stale."""
        return self.goal if self.plan is None or self.outdated else self.plan.goal

    @property
    def unsaved(self) -> bool:
        """Whether the plan has values of the person that are neither saved nor trained."""
        return self.plan is not None and dict(self.plan.overrides) != dict(self.kept)

    def set_by_preset(self, key: str) -> bool:
        """Whether a value of the plan is still the one that the preset set."""
        given = {} if self.plan is None else self.plan.overrides
        return key in self.preset_values and key in given and given[key] == self.preset_values[key]

    @property
    def preset_shown(self) -> str:
        """Name of the preset that the plan has, or has in part; empty once its values are undone."""
        kept = [key for key in self.preset_values if self.set_by_preset(key)]
        if not kept:
            return ""
        return self.preset if len(kept) == len(self.preset_values) else f"{self.preset} ✎"

    @property
    def memory_moved(self) -> bool:
        """Whether free memory is no longer about what the plan was made with."""
        plan = self.plan
        if plan is None or self.outdated or plan.device.simulated or self.free_now is None:
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
