"""Training stages: their facts for planning, a module a stage, and their registry.

May know `config`; asked by everybody. How a stage is trained stands in `trainer.worker.stages`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from recommender.stages.base import Figure, Stage
from recommender.stages.sft import SFT

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig

__all__ = ["STAGES", "Figure", "Stage", "all_figures", "find_stage", "keys_of_others", "stage_of"]

STAGES = {stage.name: stage for stage in (SFT,)}
"""Name to stage; another one is one more value here."""


def stage_of(config: FinetuneConfig) -> Stage:
    """Return the stage that a configuration trains: supervised fine-tuning, as no key names another yet."""
    del config
    return SFT


def find_stage(name: object) -> Stage:
    """Return the stage that a run recorded; runs of versions that recorded none are supervised fine-tuning."""
    return STAGES.get(name, SFT) if isinstance(name, str) else SFT


def keys_of_others(stage: Stage, stages: Iterable[Stage] = STAGES.values()) -> frozenset[str]:
    """Return the dotted keys of a configuration that belong to other stages and mean nothing for this one."""
    return frozenset().union(*(other.keys for other in stages)) - stage.keys


def all_figures(stages: Iterable[Stage] = STAGES.values()) -> tuple[Figure, ...]:
    """Return the figures logged by any stage at each step, each once: the columns of a run's history."""
    return tuple({figure.key: figure for stage in stages for figure in stage.figures}.values())
