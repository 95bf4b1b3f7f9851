"""The trainer and the rows of each training stage, a module a stage: the only place that names TRL's trainers.

May know `loop` and `setup`; `train` and `setup.assemble` ask the registry. What planning knows of a stage stands in
`recommender.stages`.
"""

from __future__ import annotations

from recommender.config.schema import FinetuneConfig
from recommender.stages import stage_of
from trainer.worker.stages import sft
from trainer.worker.stages.base import WorkerStage

STAGES = {stage.facts.name: stage for stage in (sft.STAGE,)}
"""Name to stage; another one is one more value here."""


def worker_stage(config: FinetuneConfig) -> WorkerStage:
    """Return the worker's stage for a configuration."""
    return STAGES[stage_of(config).name]
