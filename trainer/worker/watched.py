"""SFTTrainer with its evaluations and checkpoints told as events, and the callback that tells its steps."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from trl import SFTTrainer

from trainer.runfolder import RunFolder, record
from trainer.worker.memory import MemoryMeter
from trainer.worker.requests import Requests

IMITATE_OOM = "LORA_WIZARD_IMITATE_OOM_TOKENS"
"""For tests on a CPU: a training batch of more tokens than this raises what CUDA raises."""


class WatchedTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer; only what it does is told, nothing is done differently."""

    def watch(self, folder: RunFolder) -> None:
        """Tell evaluations and checkpoints to this run's record."""
        self.folder = folder
        self.best: tuple[float, int] | None = None
        self.first_eval: float | None = None
        self.last_eval: float | None = None
        self.evaluated_at: int | None = None

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
        record(self.folder, "status", status="saving")
        began = time.perf_counter()
        super()._save_checkpoint(*arguments, **options)
        path = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        relative = str(path.relative_to(self.folder.path))
        seconds = time.perf_counter() - began
        record(self.folder, "checkpoint", step=int(self.state.global_step), path=relative, bytes=size, seconds=seconds)
        record(self.folder, "status", status="training")

    def training_step(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """One micro-batch; imitates an out-of-memory where a test asks for it."""
        limit = os.environ.get(IMITATE_OOM)
        if limit and inputs["input_ids"].numel() > int(limit):
            raise torch.OutOfMemoryError("CUDA out of memory (imitated)")
        return super().training_step(model, inputs, *arguments, **options)


class StepRecorder(TrainerCallback):  # type: ignore[misc]
    """Writes a 'step' event for each logged step and obeys requests at step ends.

    Attributes:
        seconds: Time spent in here, for the benchmark that holds it to a hundredth of a step.
    """

    def __init__(self, folder: RunFolder, requests: Requests, meter: MemoryMeter) -> None:
        self.folder, self.requests, self.meter = folder, requests, meter
        self.tokens = 0
        self.seconds = 0.0
        self._began = self._took = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the step's clock."""
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock, look for requests."""
        now = time.perf_counter()
        self._took = now - self._began
        requests = self.requests
        requests.poll()
        if requests.stop != "none":
            control.should_training_stop = True
            control.should_save = requests.stop == "save"
            control.should_evaluate = False
        if requests.checkpoint:
            control.should_save, requests.checkpoint = True, False
        if requests.evaluate:
            control.should_evaluate, requests.evaluate = True, False
        self.seconds += time.perf_counter() - now

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave in the middle of a step when asked to stop now."""
        if self.requests.stop == "now":
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Record a step; TRL counts the tokens."""
        if not logs or "loss" not in logs:
            return
        now = time.perf_counter()
        tokens = int(float(logs.get("num_tokens", 0)))
        fresh, self.tokens = tokens - self.tokens, tokens
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
            tokens_per_second=fresh / args.logging_steps / self._took if self._took > 0 and fresh > 0 else None,
            step_seconds=self._took,
            memory_bytes=self.meter.current_peak(),
        )
        if not math.isfinite(loss):
            record(
                self.folder,
                "warning",
                message=f"The loss of step {state.global_step} is not a number.",
                remedy="Stop and lower the learning rate; under fp16 try bf16 or fp32.",
            )
        self.seconds += time.perf_counter() - now
