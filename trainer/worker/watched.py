"""SFTTrainer with its evaluations and checkpoints told as events, and the callback that tells its steps."""

from __future__ import annotations

import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from trl import SFTTrainer

from trainer.launch import complete_checkpoints
from trainer.runfolder import RunFolder, record
from trainer.worker.memory import MemoryMeter
from trainer.worker.past import Past
from trainer.worker.requests import Requests

IMITATE_OOM = "LORA_WIZARD_IMITATE_OOM_TOKENS"
"""For tests on a CPU: a training batch of more tokens than this raises what CUDA raises."""


class WatchedTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer; what it does is told, and a checkpoint is there whole or not at all."""

    def watch(self, folder: RunFolder, past: Past) -> None:
        """Tell evaluations and checkpoints to this run's record, going on from what was."""
        self.folder = folder
        self.first_eval, self.last_eval, self.best = past.first_eval, past.last_eval, past.best
        self.evaluated_at: int | None = None
        self._total_train_tokens = past.tokens
        self._saving_to: Path | None = None

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """Evaluate, and record the loss."""
        record(self.folder, "status", status="evaluating")
        began = time.perf_counter()
        metrics: dict[str, float] = super().evaluate(*arguments, **options)
        loss, step = metrics.get("eval_loss"), int(self.state.global_step)
        if loss is not None:
            self.first_eval = loss if self.first_eval is None else self.first_eval
            self.last_eval, self.evaluated_at = loss, step
            best = math.isfinite(loss) and (self.best is None or loss < self.best[0])
            if best:
                self.best = (loss, step)
            seconds = time.perf_counter() - began
            record(
                self.folder, "eval", step=step, eval_loss=loss, rows=len(self.eval_dataset), seconds=seconds, best=best
            )
        record(self.folder, "status", status="training")
        return metrics

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        """Save under another name, then rename: a run killed while saving resumes from the checkpoint before."""
        record(self.folder, "status", status="saving")
        began = time.perf_counter()
        self._saving_to = self.folder.checkpoints / ".saving"
        shutil.rmtree(self._saving_to, ignore_errors=True)
        try:
            super()._save_checkpoint(*arguments, **options)
        finally:
            written, self._saving_to = self._saving_to, None
        name = f"checkpoint-{self.state.global_step}"
        path = self.folder.checkpoints / name
        shutil.rmtree(path, ignore_errors=True)
        (written / name).rename(path)
        for old in complete_checkpoints(self.folder)[: -self.args.save_total_limit]:
            shutil.rmtree(old, ignore_errors=True)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        relative = str(path.relative_to(self.folder.path))
        seconds = time.perf_counter() - began
        record(self.folder, "checkpoint", step=int(self.state.global_step), path=relative, bytes=size, seconds=seconds)
        record(self.folder, "status", status="training")

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._saving_to) if self._saving_to else str(super()._get_output_dir(trial))

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """The loss of one micro-batch; imitates an out-of-memory where a test asks for it."""
        limit = os.environ.get(IMITATE_OOM)
        if limit and model.training and inputs["input_ids"].numel() > int(limit):
            raise torch.OutOfMemoryError("CUDA out of memory (imitated)")
        return super().compute_loss(model, inputs, *arguments, **options)


class StepRecorder(TrainerCallback):  # type: ignore[misc]
    """Writes a 'step' event for each logged step and obeys requests at step ends.

    Attributes:
        tokens: Gone through so far, earlier lives of the run included.
        seconds: Time spent in here, for the benchmark that holds it to a hundredth of a step.
    """

    def __init__(self, folder: RunFolder, requests: Requests, meter: MemoryMeter, past: Past) -> None:
        self.folder, self.requests, self.meter = folder, requests, meter
        self.tokens = past.tokens
        self.seconds = 0.0
        self._began = 0.0
        self._steps, self._took = 0, 0.0
        self._finite = True

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the step's clock."""
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock, look for requests."""
        now = time.perf_counter()
        self._took += now - self._began
        self._steps += 1
        requests = self.requests
        requests.poll()
        if requests.stop:
            control.should_training_stop = control.should_save = True
            control.should_evaluate = False
        if requests.checkpoint:
            control.should_save, requests.checkpoint = True, False
        if requests.evaluate:
            control.should_evaluate, requests.evaluate = True, False
        self.seconds += time.perf_counter() - now

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take in requests between micro-batches: 'stop now' need not wait for the step's end."""
        self.requests.poll()

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The same within an evaluation."""
        self.requests.poll()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Record what was trained since the last time; TRL counts the tokens."""
        if not logs or "loss" not in logs or not self._steps:
            return
        now = time.perf_counter()
        tokens, took, steps = int(float(logs.get("num_tokens", self.tokens))), self._took, self._steps
        fresh, self.tokens = tokens - self.tokens, tokens
        self._took, self._steps = 0.0, 0
        loss = float(logs["loss"])
        record(
            self.folder,
            "step",
            step=int(state.global_step),
            epoch=float(logs.get("epoch") or state.epoch or 0.0),
            loss=loss,
            learning_rate=float(logs["learning_rate"]) if "learning_rate" in logs else None,
            grad_norm=float(logs["grad_norm"]) if "grad_norm" in logs else None,
            tokens=tokens,
            tokens_per_second=fresh / took if took > 0 and fresh > 0 else None,
            step_seconds=took / steps,
            memory_bytes=self.meter.peak(),
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
