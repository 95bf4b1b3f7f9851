"""Chooses the state kept as a run's result: with early stopping that of the best evaluation, else the last."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.run.checkpoints import START, damage, numbered, seal, step_of, unlike_seal
from trainer.run.folder import RunFolder
from trainer.worker.output.disk_space import save_with_room
from trainer.worker.world import this

if TYPE_CHECKING:
    from trainer.worker.loop.recorded import RecordedRun


@dataclass(frozen=True, slots=True)
class Kept:
    """State whose weights are a run's result."""

    step: int
    """Optimizer steps that it had been trained for."""
    loss: float | None
    """Its evaluation loss, nats a token; None where it was not evaluated."""
    better_lost: bool = False
    """Whether another state had a better evaluation and its weights are not there any more."""


def keep_start(trainer: RecordedRun) -> None:
    """Save the weights before training, which may stay the best.

    All that is trained, not B = 0: norms, modules trained whole and DoRA's magnitudes move too.
    """
    with trainer.whole():
        if this().first:
            _keep_start(trainer)


def _keep_start(trainer: RecordedRun) -> None:
    folder = trainer.folder
    written = folder.checkpoints / ".saving"

    def save() -> None:
        shutil.rmtree(written, ignore_errors=True)
        try:
            trainer.save_model(str(written))
            seal(written)
        except BaseException:
            shutil.rmtree(written, ignore_errors=True)
            raise

    save_with_room(folder, bytes_of_trained(trainer.model), save, trainer.requests.poll, "preflight")
    place = folder.checkpoints / START
    shutil.rmtree(place, ignore_errors=True)
    written.rename(place)


def settle(trainer: RecordedRun, *, finished: bool) -> Kept:
    """Load the state to be kept into the model, and return it.

    Args:
        trainer: The run's trainer, after training.
        finished: Whether it has come to its end; a run that was stopped leaves what it had come to.
    """
    step = int(trainer.state.global_step)
    last = Kept(step, trainer.last_eval if trainer.evaluated_at == step else None)
    if trainer.config.run.early_stopping is None or not finished or trainer.best is None or trainer.best[1] == step:
        return last
    loss, best = trainer.best
    place = _place_of(trainer.folder, best)
    if place is None:
        return replace(last, better_lost=True)
    trainer.load_weights(place, trainer.model)
    return Kept(best, loss)


def why_kept(trainer: RecordedRun, kept: Kept) -> str:
    """Return the reason for keeping another state than the last, or not the best one; empty where the last is right.

    Args:
        trainer: The run's trainer, after training.
        kept: What `settle` returned.
    """
    if trainer.best is None or (kept.step == int(trainer.state.global_step) and not kept.better_lost):
        return ""
    loss, best = trainer.best
    what = "model" if trainer.config.method == "full" else "adapter"
    if kept.better_lost:
        at = f"step {best}" if best else "before training"
        return f"the evaluation was best at {at} ({loss:.4f}), whose weights are not there: the last {what} is kept"
    if kept.step == 0:
        return (
            f"training made the held-out loss worse, so the {what} is kept as it was before training ({loss:.4f}): "
            "the base is as good"
        )
    return f"the {what} of step {best}, whose evaluation was the best ({loss:.4f}), is kept"


def bytes_of_trained(model: Any) -> int:
    """Return the bytes of a model's trainable weights."""
    return sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)


def _place_of(folder: RunFolder, step: int) -> Path | None:
    """Return the folder of a step's weights; None where they are not there whole."""
    if step == 0:
        start = folder.checkpoints / START
        return start if start.is_dir() and not unlike_seal(start) else None
    return next((path for path in numbered(folder) if step_of(path) == step and not damage(path)), None)
