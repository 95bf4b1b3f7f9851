"""Supervised fine-tuning by TRL's SFTTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trl import SFTConfig, SFTTrainer

from recommender.config.schema import FinetuneConfig
from recommender.data.packing import Strategy, packs
from recommender.memory.workload import CPU_LENGTH_MULTIPLE
from recommender.stages.sft import SFT
from recommender.steps import Steps
from trainer.worker.loop.recorded import RecordedRun
from trainer.worker.setup.arguments import common_arguments
from trainer.worker.stages.base import Parts, WorkerStage
from trainer.worker.stages.head import settle_head


class RecordedSFTTrainer(RecordedRun, SFTTrainer):  # type: ignore[misc]  # TRL is published without type information
    """TRL's SFTTrainer as a run.

    Attributes:
        own_head: Why the class's own head computes the loss, see `stages.head`; empty where TRL's does.
    """

    own_head: str = ""


def training_arguments(
    config: FinetuneConfig,
    output: Path,
    steps: Steps,
    *,
    evaluates: bool,
    cuda: bool,
    packing_strategy: Strategy = "bfd",
) -> SFTConfig:
    """Return TRL's arguments. The rows come ready-made: TRL prepares them only where they are to be packed.

    Args:
        config: The run.
        output: Folder of the checkpoints.
        steps: The run's counts of steps.
        evaluates: Whether rows are held out.
        cuda: Whether the run is on a GPU.
        packing_strategy: How TRL packs the rows, where they are packed.
    """
    common = common_arguments(config, output, steps, evaluates=evaluates, cuda=cuda)
    return SFTConfig(**common, **_row_arguments(config, packing_strategy, cuda=cuda))


def _row_arguments(config: FinetuneConfig, packing_strategy: Strategy, *, cuda: bool) -> dict[str, Any]:
    """Return the arguments that turn rows into batches."""
    packing = packs(config)
    return {
        "max_length": config.data.max_length if packing else None,
        "packing": packing,
        "packing_strategy": packing_strategy,
        "eval_packing": False,
        # oneDNN compiles and keeps a kernel for each new shape: few lengths keep its cache, and so memory, small.
        "pad_to_multiple_of": None if cuda or packing else CPU_LENGTH_MULTIPLE,
        "dataset_kwargs": None if packing else {"skip_prepare_dataset": True},
    }


def make_trainer(parts: Parts) -> RecordedSFTTrainer:
    """Build the trainer; its optimizer does not exist yet."""
    rows = parts.rows
    trainer = RecordedSFTTrainer(
        model=parts.model,
        args=training_arguments(
            parts.config,
            parts.output,
            parts.steps,
            evaluates=rows.held_out is not None,
            cuda=parts.cuda,
            packing_strategy=rows.packing_strategy,
        ),
        train_dataset=rows.train,
        eval_dataset=rows.held_out,
        processing_class=parts.tokenizer,
        peft_config=parts.peft_config,
        callbacks=list(parts.callbacks),
    )
    trainer.own_head = settle_head(trainer)
    return trainer


STAGE = WorkerStage(SFT, RecordedSFTTrainer, make_trainer)
