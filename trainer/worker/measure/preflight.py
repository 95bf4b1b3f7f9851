"""Measures one whole step on the longest real batch, optimizer included, and leaves everything as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from trainer.worker.loop.learning import require_reached
from trainer.worker.measure.memory import MemoryMeter
from trainer.worker.setup.before_training import as_in_training
from trainer.worker.upstream import activation_offloading, counters_kept, prepare_batch

Saves = Callable[[torch.optim.Optimizer], dict[str, Any]]
"""Function that writes a checkpoint with an optimizer, removes it and returns its time and size."""


def preflight(
    trainer: Any,
    rows: list[dict[str, Any]],
    held_out: list[dict[str, Any]],
    meter: MemoryMeter,
    save: Saves | None = None,
) -> dict[str, Any]:
    """Measure the worst moment of training: a micro-batch of the longest rows while optimizer states exist.

    In order: forward and backward, an optimizer step (which makes its states), forward and backward again, one
    evaluation batch, a checkpoint. The optimizer sees zero gradients at rate zero, so no weight changes, not even
    where a gradient overflowed; random states and TRL's counters are put back.

    Args:
        trainer: A built TRL trainer whose optimizer does not exist yet.
        rows: The longest training rows, one micro-batch.
        held_out: The longest held-out rows, or empty.
        meter: Watching since before the model was loaded.
        save: Tries a checkpoint; none is tried without it.

    Returns:
        The keys of a 'preflight' event but length; step_seconds is of one whole optimizer step of such micro-batches.

    Raises:
        CannotLearn: An adapter that no gradient reaches.
    """
    with _as_before(trainer, meter):
        with as_in_training(trainer.model, trainer.args):
            seconds, optimizer = _one_step(trainer, rows, meter)
        if held_out:
            # As in training: no gradients then, but the optimizer's states.
            trainer.model.zero_grad(set_to_none=True)
            trainer.model.eval()
            with torch.no_grad(), trainer.accelerator.autocast():
                trainer.compute_loss(trainer.model, prepare_batch(trainer, held_out))
        reading = meter.reading()
        if save is not None:
            reading |= save(optimizer)
        del optimizer
    return {**reading, "step_seconds": seconds, "rows": len(rows)}


@contextmanager
def _as_before(trainer: Any, meter: MemoryMeter) -> Iterator[None]:
    """Restore all state that the step touches but memory's high-water marks."""
    random = (torch.get_rng_state(), torch.cuda.get_rng_state_all() if meter.cuda else [])
    try:
        with counters_kept(trainer):
            yield
    finally:
        trainer.model.zero_grad(set_to_none=True)
        torch.set_rng_state(random[0])
        if meter.cuda:
            torch.cuda.set_rng_state_all(random[1])
            torch.cuda.empty_cache()


def _one_step(trainer: Any, rows: list[dict[str, Any]], meter: MemoryMeter) -> tuple[float, torch.optim.Optimizer]:
    """Go through a step as far as memory needs it.

    Returns:
        What one whole optimizer step takes, in seconds; and the optimizer with its states.
    """
    model, args = trainer.model, trainer.args
    _forward_and_backward(trainer, rows)
    require_reached(model)
    began = _now(meter)
    # Kept until the second pass is over: its states are part of the worst moment.
    optimizer = _step_of_nothing(trainer)
    stepped = _now(meter) - began
    if args.gradient_accumulation_steps == 1:
        model.zero_grad(set_to_none=True)
    began = _now(meter)
    _forward_and_backward(trainer, rows)
    passed = _now(meter) - began
    return passed * int(args.gradient_accumulation_steps) + stepped, optimizer


def _forward_and_backward(trainer: Any, rows: list[dict[str, Any]]) -> None:
    """Run forward and backward as TRL's training step does, without the gradient scaler."""
    with activation_offloading(trainer):
        with trainer.accelerator.autocast():
            loss = trainer.compute_loss(trainer.model_wrapped, prepare_batch(trainer, rows))
        loss.backward()


def _step_of_nothing(trainer: Any) -> torch.optim.Optimizer:
    """Step an optimizer of the run's kind, which makes its states, over zero gradients at rate zero."""
    parameters = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.zero_()
    kind, options = trainer.get_optimizer_cls_and_kwargs(trainer.args, trainer.model)
    optimizer: torch.optim.Optimizer = kind(parameters, **{**options, "lr": 0.0})
    optimizer.step()
    return optimizer


def _now(meter: MemoryMeter) -> float:
    """Return the clock in seconds, once the GPU's queue is empty."""
    if meter.cuda:
        torch.cuda.synchronize()
    return time.perf_counter()
