"""WorkerStage: the rows of a stage and its trainer over TRL's, as the worker needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender.config.schema import FinetuneConfig
from recommender.model.spec import ModelSpec
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
    """A stage as the worker needs it: a module of this package makes one."""

    facts: Stage
    read_rows: Callable[[FinetuneConfig, ModelSpec], Rows]
    """Tokenise and split the data; raises InputError where it cannot be trained on."""
    trainer: type[RecordedRun]
    """RecordedRun over one of TRL's trainers."""
    make_trainer: Callable[[Parts], RecordedRun]
