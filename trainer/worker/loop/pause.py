"""The pause between two steps that a person asked for."""

from __future__ import annotations

import time
from typing import Any, Protocol

from trainer.run.folder import RunFolder
from trainer.worker.loop.requests import Requests
from trainer.worker.output.disk_space import LOOK_SECONDS, record


class Paused(Protocol):
    """A trainer as far as a pause needs it."""

    folder: RunFolder
    requests: Requests
    control: Any
    """Transformers' TrainerControl."""
    eval_dataset: Any

    def save_checkpoint(self) -> None:
        """Save a checkpoint now."""

    def evaluate(self) -> Any:
        """Evaluate now."""


def rest(trainer: Paused) -> None:
    """Wait until the run is to go on or to stop; save and evaluate meanwhile where that is asked for."""
    record(trainer.folder, "status", status="paused", reason="as asked; `lora-wizard continue` goes on")
    agreed = trainer.requests.agreed
    while agreed.pause and not agreed.stop:
        time.sleep(LOOK_SECONDS)
        agreed = trainer.requests.agree()
        if agreed.checkpoint:
            trainer.save_checkpoint()
            record(trainer.folder, "status", status="paused")
        if agreed.evaluate and trainer.eval_dataset is not None:
            trainer.evaluate()
            if trainer.control.should_save:
                # The best so far is saved now: the next step changes the weights.
                trainer.save_checkpoint()
                trainer.control.should_save = False
            record(trainer.folder, "status", status="paused")
    if agreed.stop:
        trainer.save_checkpoint()
        trainer.control.should_training_stop = True
    record(trainer.folder, "status", status="training")
