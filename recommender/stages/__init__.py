"""Training stages: what planning must know of each, a module a stage, and the registry that finds them.

May know `config`; asked by everybody. How a stage is trained stands in `trainer.worker.stages`.
"""

from __future__ import annotations

from recommender.config.schema import FinetuneConfig
from recommender.stages.base import Stage
from recommender.stages.sft import SFT

__all__ = ["STAGES", "Stage", "find_stage", "stage_of"]

STAGES = {stage.name: stage for stage in (SFT,)}
"""Name to stage; another one is one more value here."""


def stage_of(config: FinetuneConfig) -> Stage:
    """Return the stage that a configuration trains: supervised fine-tuning, as no key names another yet."""
    del config
    return SFT


def find_stage(name: object) -> Stage:
    """Return the stage that a run recorded; runs of versions that recorded none are supervised fine-tuning."""
    return STAGES.get(name, SFT) if isinstance(name, str) else SFT
