"""One whole step on the longest real batch, with optimizer, before hours are spent; nothing is changed by it."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

import torch

from trainer.worker.memory import MemoryMeter


def preflight(
    trainer: Any, rows: list[dict[str, Any]], held_out: list[dict[str, Any]], meter: MemoryMeter
) -> dict[str, Any]:
    """Run forward, backward and an optimizer step at rate zero, then one evaluation batch.

    At rate zero the optimizer allocates all its states and changes no weight; random states, gradients and TRL's
    counters are put back.

    Args:
        trainer: A built SFTTrainer whose optimizer does not exist yet.
        rows: The longest training rows, one micro-batch.
        held_out: The longest held-out rows, or empty.
        meter: Watching since before the model was loaded.

    Returns:
        The keys of a 'preflight' event.
    """
    random = (torch.get_rng_state(), torch.cuda.get_rng_state_all() if meter.cuda else None)
    counters = (deepcopy(trainer._metrics), trainer._total_train_tokens)
    model = trainer.model
    model.train()
    began = time.perf_counter()
    _one_step(trainer, model, rows)
    seconds = time.perf_counter() - began
    if held_out:
        model.eval()
        with torch.no_grad(), trainer.compute_loss_context_manager():
            trainer.compute_loss(model, _batch(trainer, held_out))
    reading = meter.reading()
    model.zero_grad(set_to_none=True)
    trainer._metrics, trainer._total_train_tokens = counters
    torch.set_rng_state(random[0])
    if random[1] is not None:
        torch.cuda.set_rng_state_all(random[1])
        torch.cuda.empty_cache()
    length = max(len(row["input_ids"]) for row in rows)
    return {**reading, "step_seconds": seconds, "rows": len(rows), "length": length}


def _one_step(trainer: Any, model: Any, rows: list[dict[str, Any]]) -> None:
    with trainer.compute_loss_context_manager():
        loss = trainer.compute_loss(model, _batch(trainer, rows))
    loss.backward()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    kind, options = trainer.get_optimizer_cls_and_kwargs(trainer.args, model)
    kind(parameters, **{**options, "lr": 0.0}).step()


def _batch(trainer: Any, rows: list[dict[str, Any]]) -> Any:
    return trainer._prepare_inputs(trainer.data_collator(rows))
