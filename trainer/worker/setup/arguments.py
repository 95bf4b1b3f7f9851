"""Transformers' TrainingArguments from a configuration: those that every stage shares."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from recommender.config.schema import FinetuneConfig, Training
from recommender.steps import Steps

TRANSLATED = frozenset({"tf32", "max_steps", "activation_offloading"})
"""Keys of `training` that TRL's arguments have too, but with another value for some case."""


def common_arguments(
    config: FinetuneConfig, output: Path, steps: Steps, *, evaluates: bool, cuda: bool
) -> dict[str, Any]:
    """Return keyword arguments for any of TRL's configuration classes.

    Args:
        config: The run.
        output: Where checkpoints go.
        steps: The run's counts of steps.
        evaluates: Whether rows are held out.
        cuda: Whether the run is on a GPU.
    """
    training, run = config.training, config.run
    return {
        "output_dir": str(output),
        "use_cpu": not cuda,
        "bf16": training.precision == "bf16",
        "fp16": training.precision == "fp16",
        "tf32": training.tf32 if cuda else None,
        "max_steps": training.max_steps or -1,
        "per_device_eval_batch_size": training.per_device_train_batch_size,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if training.gradient_checkpointing else None,
        "activation_offloading": training.activation_offloading and cuda,
        "logging_steps": run.logging_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": steps.eval_every if evaluates else None,
        "save_strategy": "steps",
        "save_steps": steps.save_every,
        "save_total_limit": run.save_total_limit,
        "report_to": list(run.report_to) or "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "remove_unused_columns": False,
        **_passed_by_name(training),
    }


def _passed_by_name(training: Training) -> dict[str, Any]:
    """Values of the configuration that Transformers' arguments take under the same name and as they are."""
    theirs = {field.name for field in fields(TrainingArguments)} - TRANSLATED
    return {name: getattr(training, name) for name in type(training).model_fields if name in theirs}
