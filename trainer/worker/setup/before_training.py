"""Sets a model to train as Trainer does at the start of `train()`, for steps measured or traced outside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.integrations.neftune import activate_neftune, deactivate_neftune

from recommender.config.schema import Training


@contextmanager
def as_in_training(model: Any, training: Training) -> Iterator[None]:
    """Set a model to train as `Trainer.train()` does (Transformers 5.23, `_inner_training_loop`).

    Args:
        model: With its adapter; it stays in training mode, and checkpointed where that is asked for. Noise on its
            embeddings (NEFTune) goes again: Trainer puts on its own.
        training: The run's settings; Trainer's own arguments have them under the same names.
    """
    if training.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    if training.neftune_noise_alpha is None:
        yield
        return
    noise = activate_neftune(model, training.neftune_noise_alpha)
    try:
        yield
    finally:
        deactivate_neftune(model, noise)
