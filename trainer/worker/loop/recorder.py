"""The callback that records a run's steps and carries out requests at their ends."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from recommender.stages.base import COMMON_FIGURES, Figure
from trainer.run.folder import RunFolder
from trainer.worker.loop.requests import Requests
from trainer.worker.loop.resume_point import ResumePoint
from trainer.worker.measure.forward import ForwardClock
from trainer.worker.measure.memory import MemoryMeter
from trainer.worker.output.disk_space import record

if TYPE_CHECKING:
    from trainer.worker.loop.recorded import RecordedRun


class StepRecorder(TrainerCallback):  # type: ignore[misc]
    """Writes a 'step' event for each logged step and obeys requests at step ends.

    Attributes:
        figures: The figures of the trainer's log that a 'step' event holds.
        tokens: Gone through so far, earlier attempts of the run included.
        seconds: Time spent in here, for the benchmark that holds it to a hundredth of a step.
        clock: Of the forward passes, where the run has several ranks.
    """

    def __init__(
        self,
        folder: RunFolder,
        requests: Requests,
        meter: MemoryMeter,
        resume_point: ResumePoint,
        figures: Sequence[Figure] = COMMON_FIGURES,
    ) -> None:
        self.folder, self.requests, self.meter = folder, requests, meter
        self.figures = figures
        self.tokens = resume_point.tokens
        self.seconds = 0.0
        self._began = 0.0
        self._steps, self._took = 0, 0.0
        self._finite = True
        self.clock: ForwardClock | None = None
        self._restore: tuple[RecordedRun, Path, bool] | None = None

    def go_on(self, trainer: RecordedRun, checkpoint: Path, evaluates_here: bool) -> None:
        """Continue exactly from a checkpoint when training begins.

        Args:
            trainer: Restored from it by then.
            checkpoint: Its folder.
            evaluates_here: Whether a run never stopped would have evaluated at this step.
        """
        self._restore = (trainer, checkpoint, evaluates_here)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Restore the state that Transformers does not save, and make up for an evaluation that a stop cut off."""
        if self._restore is None:
            return
        trainer, checkpoint, evaluates_here = self._restore
        trainer.go_on_from(checkpoint)
        self.tokens = trainer.tokens
        if evaluates_here and trainer.evaluated_at != int(state.global_step):
            trainer.evaluate()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop when a stop after the epoch was requested."""
        if self.requests.agreed.stop_after_epoch:
            control.should_training_stop = control.should_save = True

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the step's clock."""
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock, look for requests."""
        now = time.perf_counter()
        self._took += now - self._began
        self._steps += 1
        agreed = self.requests.agree()
        if agreed.stop:
            control.should_training_stop = control.should_save = True
            control.should_evaluate = False
        if agreed.checkpoint:
            control.should_save = True
        if agreed.evaluate:
            control.should_evaluate = True
        self.seconds += time.perf_counter() - now

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take in requests between micro-batches: 'stop now' need not wait for the step's end."""
        self.requests.poll()

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take in requests within an evaluation."""
        self.requests.poll()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Record the steps since the last log line; TRL counts the tokens."""
        if not logs or "loss" not in logs or not self._steps:
            return
        now = time.perf_counter()
        tokens, took, steps = int(float(logs.get("num_tokens", self.tokens))), self._took, self._steps
        fresh, self.tokens = tokens - self.tokens, tokens
        self._took, self._steps = 0.0, 0
        loss, forward = float(logs["loss"]), self.clock.take() if self.clock else None
        record(
            self.folder,
            "step",
            step=int(state.global_step),
            epoch=float(logs.get("epoch") or state.epoch or 0.0),
            **{figure.key: float(logs[figure.logged]) for figure in self.figures if figure.logged in logs},
            tokens=tokens,
            tokens_per_second=fresh / took if took > 0 and fresh > 0 else None,
            step_seconds=took / steps,
            memory_bytes=self.meter.peak(),
            forward_seconds=forward / steps if forward is not None else None,
        )
        if self._finite and not math.isfinite(loss):
            record(
                self.folder,
                "warning",
                message=f"The loss of step {state.global_step} is not a number.",
                remedy="Stop and lower the learning rate; under fp16 try bf16 or fp32.",
            )
        self._finite = math.isfinite(loss)
        self.seconds += time.perf_counter() - now
