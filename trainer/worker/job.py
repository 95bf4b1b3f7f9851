"""The parts of one run in the worker, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recommender.config.schema import FinetuneConfig
from recommender.model.spec import ModelSpec
from recommender.steps import Steps
from trainer.run.folder import RunFolder
from trainer.run.plan_file import PlanFile
from trainer.worker.loop.best import Kept
from trainer.worker.loop.recorded import RecordedRun
from trainer.worker.loop.recorder import StepRecorder
from trainer.worker.loop.requests import Requests
from trainer.worker.measure.memory import MemoryMeter
from trainer.worker.setup.rows import Rows
from trainer.worker.stages.base import WorkerStage
from trainer.worker.world import World


@dataclass
class Job:
    """Objects of one run, built."""

    folder: RunFolder
    plan: PlanFile
    config: FinetuneConfig
    stage: WorkerStage
    spec: ModelSpec
    rows: Rows
    trainer: RecordedRun
    recorder: StepRecorder
    requests: Requests
    meter: MemoryMeter
    steps: Steps
    own_code: Mapping[str, str] | None
    """The model's own code that was executed: file and SHA-256."""
    world: World
    """This process among those of the run."""
    kept: Kept | None = None
    """State kept as the run's result, once it is chosen."""
