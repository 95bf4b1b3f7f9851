"""A made machine, made checks and a made start around the real planning: nothing here touches hardware or a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from presets.errors import InputError
from recommender.data.dataset import DataSet
from recommender.machine.facts import (
    Cpu,
    Device,
    Diagnostic,
    Disk,
    Gpu,
    GpuProcess,
    Host,
    Machine,
    NvmlState,
    NvmlStatus,
    Software,
)
from recommender.model.sources.local import LocalModel
from recommender.model.spec import ModelSpec
from recommender.plan.types import Plan
from trainer.preflight.line import CheckLine
from tui.wizard.plan_service import PlanService, RealPlans
from tui.wizard.services import RealServices

GIB = 2**30
LLAMA = "llama-3.1-8b-instruct"
SMOL = "smollm2-135m-instruct"


def gpu(index: int = 0, name: str = "NVIDIA GeForce RTX 4090", free: float = 22.9, **changes: object) -> Gpu:
    made = Gpu(
        index=index,
        uuid=f"GPU-{index}",
        name=name,
        compute_capability=(8, 9),
        architecture="Ada",
        memory_total=24 * GIB,
        memory_used=int((24 - free) * GIB),
        memory_free=int(free * GIB),
        utilisation=3,
        temperature=41,
        power_watts=24.0,
        power_limit_watts=450.0,
        processes=(
            GpuProcess(4121, "python", int(0.9 * GIB), "you"),
            GpuProcess(None, None, int(0.2 * GIB), "outside"),
        ),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by name


LOGIND = Diagnostic(
    "warn", "logind ends your processes at logout (KillUserProcesses=yes).", "Start with systemd-run --user --scope."
)


def machine(
    *gpus: Gpu, ram: float = 118, diagnostics: Sequence[Diagnostic] = (LOGIND, Diagnostic("ok", "driver 580.95"))
) -> Machine:
    state = (
        NvmlState(NvmlStatus.OK)
        if gpus
        else NvmlState(NvmlStatus.LIBRARY_MISSING, "No NVIDIA driver library is here.", "Install the driver.")
    )
    return Machine(
        gpus=gpus,
        nvml=state,
        host=Host(
            cpu=Cpu("AMD EPYC 7543", 16, bf16=False),
            ram_total=128 * GIB,
            ram_available=int(ram * GIB),
            ram_source="host",
            disks=(Disk("runs", Path("/home/me/runs"), 412 * GIB, 900 * GIB),),
        ),
        software=Software("3.12.1", {"torch": "2.13.0+cu130"}, driver="580.95", cuda_driver="13.0", torch_cuda="13.0"),
        diagnostics=tuple(diagnostics),
    )


FINE = (
    CheckLine("disk", "disk", "ok", "0.2 GiB needed, 412 GiB free", seconds=0.0),
    CheckLine("worst_step", "one worst-case step", "running"),
    CheckLine("worst_step", "one worst-case step", "ok", "measured 9.6 GiB, predicted 9.4 (+2 %)", seconds=12.0),
)


@dataclass(frozen=True)
class MadeServices(RealServices):
    """The real planning on a made machine."""

    found: Machine = field(default_factory=lambda: machine(gpu()))
    checked: Sequence[CheckLine] = FINE
    here: Sequence[LocalModel] = ()
    refusals: Mapping[str, InputError] = field(default_factory=dict)
    started: list[Plan] = field(default_factory=list)
    yes: list[str] = field(default_factory=list)
    """Commands that were agreed to."""
    polled: list[float] = field(default_factory=list)
    """GiB free that the next polls find; the machine's own when empty."""
    hold: Callable[[], None] = lambda: None
    """Called before a model is read."""
    planning: Callable[[Path], PlanService] = RealPlans
    """Makes the planning, from the folder of runs."""

    @property
    def plans(self) -> PlanService:
        return self.planning(self.runs)

    def probe(self) -> Machine:
        return self.found

    def poll_gpus(self) -> tuple[tuple[Gpu, ...], NvmlState]:
        gpus = self.found.gpus
        if self.polled:
            gpus = (replace(gpus[0], memory_free=int(self.polled[0] * GIB)), *gpus[1:])
        return gpus, self.found.nvml

    def free_ram(self) -> int:
        return self.found.host.ram_available

    def local_models(self) -> Sequence[LocalModel]:
        return self.here

    def read_model(self, name: str) -> ModelSpec:
        self.hold()
        if name in self.refusals:
            raise self.refusals[name]
        return replace(self.catalogue_spec(name), access="")

    def price_per_hour(self) -> float | None:
        return None

    def keep_price(self, price: float | None) -> None:
        return None

    def checks(self, plan: Plan, dataset: DataSet, stopped: Callable[[], bool]) -> Iterator[CheckLine]:
        yield from self.checked

    def agreed(self, command: str) -> bool:
        return command in self.yes

    def keep_agreed(self, command: str) -> None:
        self.yes.append(command)

    def launch(self, plan: Plan, machine: Machine | None) -> Path:
        self.started.append(plan)
        folder = self.runs / "20261121-0312-made"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def rtx_4090(services: MadeServices) -> Device:
    from recommender.machine.devices import default_device

    return default_device(services.found)
