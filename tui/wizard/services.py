"""All that the screens ask of the floors below: injected, so that a test gives made values and no machine is touched.

The real ones import what they need when they are called: the first frame waits for none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tui.wizard.plan_service import RealPlans, data_section

if TYPE_CHECKING:
    from presets.gpus import GpuFacts
    from presets.models import CatalogueModel
    from recommender.data.dataset import DataSet
    from recommender.data.profile.first_look import FirstLook
    from recommender.data.tokens.tokenise import Piece
    from recommender.estimate.types import Estimate
    from recommender.machine.facts import Device, Gpu, Machine, NvmlState
    from recommender.model.sources.local import LocalModel
    from recommender.model.spec import ModelSpec
    from recommender.plan.types import Plan
    from recommender.stages import Stage
    from trainer.preflight.line import CheckLine
    from tui.wizard.plan_service import Cancelled, OnProgress, PlanService

OnBytes = Callable[[str, int, int], None]
"""Called with a file's name, bytes done and bytes in all (0 where unknown)."""


class Services(Protocol):
    """Interface of all that the wizard asks of the program.

    All of it may take long and is called in a worker thread, but for the catalogues and what is kept.

    Each raises `WizardError` where there is a message for the person.
    """

    @property
    def runs(self) -> Path:
        """Folder of the runs."""

    @property
    def plans(self) -> PlanService:
        """The planning."""

    def probe(self) -> Machine:
        """Look at the whole machine."""

    def poll_gpus(self) -> tuple[tuple[Gpu, ...], NvmlState]:
        """The GPUs now."""

    def free_ram(self) -> int:
        """Bytes of host memory that can be taken now."""

    def gpu_catalogue(self) -> Sequence[GpuFacts]:
        """Cards that a plan can be made for without having them."""

    def local_models(self) -> Sequence[LocalModel]:
        """Models on this disk."""

    def model_catalogue(self) -> Sequence[CatalogueModel]:
        """Models whose facts ship with the program."""

    def catalogue_spec(self, name: str) -> ModelSpec:
        """Architecture of a catalogue's model, without the network."""

    def read_model(self, name: str) -> ModelSpec:
        """Architecture of any model, as far as its files say it."""

    def completed(self, model: ModelSpec, on_phase: Callable[[str], None], cancelled: Cancelled) -> ModelSpec:
        """The same with what its class says, which is asked in a child process where that was never done."""

    def learning(self, on_phase: Callable[[str], None], cancelled: Cancelled) -> AbstractContextManager[None]:
        """A block in whose thread prices of a class without a formula wait until that is learned."""

    def method_fit(self, model: ModelSpec, device: Device, method: str) -> Estimate:
        """Price of a method at the default length."""

    def profile(
        self,
        data: Mapping[str, Any],
        model: ModelSpec | None,
        stage: Stage,
        on_progress: OnProgress,
        cancelled: Cancelled,
        on_first_look: Callable[[FirstLook], None],
        on_bytes: OnBytes,
    ) -> DataSet:
        """Read, recognise and tokenise the data; tell before, and ever better, what some rows say of all."""

    def first_row(self, data: Mapping[str, Any], model: ModelSpec | None, stage: Stage, source: int) -> Sequence[Piece]:
        """The first row of one of the data sets, as the model would see it."""

    def price_per_hour(self) -> float | None:
        """Dollars an hour, as kept; None when it was never said."""

    def keep_price(self, price: float | None) -> None:
        """Keep what an hour costs."""

    def checks(self, plan: Plan, dataset: DataSet, cancelled: Cancelled) -> Iterator[CheckLine]:
        """Run the checks before a start, a line at each change."""

    def agreed(self, command: str) -> bool:
        """Whether somebody said yes to this shell command on this machine."""

    def keep_agreed(self, command: str) -> None:
        """Keep a yes to a shell command."""

    def launch(self, plan: Plan, machine: Machine | None) -> Path:
        """Start the run, whose command was agreed to, in processes of its own and return its folder."""


@dataclass(frozen=True, slots=True)
class RealServices:
    """The program's own floors."""

    runs: Path

    @property
    def plans(self) -> PlanService:
        """See `Services`."""
        return RealPlans(self.runs)

    def probe(self) -> Machine:
        """See `Services`."""
        from recommender.machine.probe import probe

        return probe(self.runs)

    def poll_gpus(self) -> tuple[tuple[Gpu, ...], NvmlState]:
        """See `Services`."""
        from recommender.machine.probe import poll_gpus

        return poll_gpus()

    def free_ram(self) -> int:
        """See `Services`."""
        from recommender.machine.host.host import read_host

        return read_host(self.runs).ram_available

    def gpu_catalogue(self) -> Sequence[GpuFacts]:
        """See `Services`."""
        from presets.gpus import load_gpus

        return load_gpus()

    def local_models(self) -> Sequence[LocalModel]:
        """See `Services`: the cache, and model folders in the current folder and its `models`."""
        from recommender.model.sources.local import list_local_models

        return list_local_models((Path.cwd(), Path.cwd() / "models"))

    def model_catalogue(self) -> Sequence[CatalogueModel]:
        """See `Services`."""
        from presets.models import load_models

        return load_models()

    def catalogue_spec(self, name: str) -> ModelSpec:
        """See `Services`."""
        from recommender.model.reader import read_model

        return read_model(name, offline=True)

    def read_model(self, name: str) -> ModelSpec:
        """See `Services`."""
        from recommender.model.reader import read_model

        return read_model(name)

    def completed(self, model: ModelSpec, on_phase: Callable[[str], None], cancelled: Cancelled) -> ModelSpec:
        """See `Services`."""
        from trainer.anatomy.ask import completed

        return completed(model, on_phase, cancelled)

    def learning(self, on_phase: Callable[[str], None], cancelled: Cancelled) -> AbstractContextManager[None]:
        """See `Services`."""
        from trainer.learn.ask import learning_here

        def told(phase: str, done: int, total: int) -> None:
            on_phase(f"learning this model: {phase} {done} of {total}")

        return learning_here(told, cancelled)

    def method_fit(self, model: ModelSpec, device: Device, method: str) -> Estimate:
        """See `Services`: batch 1, every other value the schema's default."""
        from recommender.config.schema import FinetuneConfig
        from recommender.estimate.estimate import estimate

        precision = "bf16" if device.bf16 else ("fp16" if device.kind == "cuda" else "fp32")
        config = FinetuneConfig.model_validate(
            {
                "model": model.name,
                "method": method,
                "quantization": {"bits": 4 if method == "qlora" else None},
                "training": {"precision": precision},
            }
        )
        return estimate(config, model, device)

    def profile(
        self,
        data: Mapping[str, Any],
        model: ModelSpec | None,
        stage: Stage,
        on_progress: OnProgress,
        cancelled: Cancelled,
        on_first_look: Callable[[FirstLook], None],
        on_bytes: OnBytes,
    ) -> DataSet:
        """See `Services`."""
        from recommender.data.load import profile_data
        from trainer.process.tokenizer import ensure_tokenizer

        ensure_tokenizer(model, cancelled)
        return profile_data(
            data_section(data),
            model=model,
            stage=stage,
            on_progress=on_progress,
            cancelled=cancelled,
            on_first_look=on_first_look,
            on_refined=on_first_look,
            on_bytes=on_bytes,
        )

    def first_row(self, data: Mapping[str, Any], model: ModelSpec | None, stage: Stage, source: int) -> Sequence[Piece]:
        """See `Services`."""
        from recommender.data.preview import first_row

        return first_row(data_section(data), model=model, stage=stage, source=source)

    def price_per_hour(self) -> float | None:
        """See `Services`."""
        from recommender.paths import state_dir
        from tui.wizard.price import load_price

        return load_price(state_dir())

    def keep_price(self, price: float | None) -> None:
        """See `Services`."""
        from recommender.paths import state_dir
        from tui.wizard.price import save_price

        save_price(state_dir(), price)

    def checks(self, plan: Plan, dataset: DataSet, cancelled: Cancelled) -> Iterator[CheckLine]:
        """See `Services`."""
        from trainer.preflight.checks import run_checks

        return run_checks(
            plan.config, plan.device, model=plan.model, dataset=dataset, runs=self.runs, cancelled=cancelled
        )

    def agreed(self, command: str) -> bool:
        """See `Services`."""
        from trainer.process.consent import has_consent

        return has_consent(command)

    def keep_agreed(self, command: str) -> None:
        """See `Services`."""
        from trainer.process.consent import store_consent

        store_consent(command)

    def launch(self, plan: Plan, machine: Machine | None) -> Path:
        """See `Services`."""
        from recommender.plan.document import document
        from trainer.process.launch import launch

        return launch(
            plan.config,
            plan_document=document(plan, machine),
            device=plan.device,
            runs=self.runs,
            # Asked for before: a state folder that cannot be written keeps no yes, and forbids no start.
            allow_on_end=True,
        )
