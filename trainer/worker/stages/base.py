"""WorkerStage: the trainer of a stage over TRL's, as the worker needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender.config.schema import FinetuneConfig
from recommender.stages import Stage
from recommender.steps import Steps
from trainer.worker.loop.recorded import RecordedRun
from trainer.worker.setup.rows import Rows


@dataclass(frozen=True)
class Parts:
    """The parts that a stage builds its trainer from."""

    config: FinetuneConfig
    rows: Rows
    steps: Steps
    output: Path
    """Folder of the checkpoints."""
    cuda: bool
    model: Any
    """The base, a Transformers model."""
    tokenizer: Any
    peft_config: Any
    """The adapter's, or None where every weight is trained."""
    callbacks: Sequence[Any]


@dataclass(frozen=True)
class WorkerStage:
    """A stage as the worker needs it: a module of this package makes one. Its rows are read by `stages.rows`."""

    facts: Stage
    trainer: type[RecordedRun]
    """RecordedRun over one of TRL's trainers."""
    make_trainer: Callable[[Parts], RecordedRun]
