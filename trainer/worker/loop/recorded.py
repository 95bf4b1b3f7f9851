"""RecordedRun: a mixin that records a trainer's evaluations, checkpoints and troubles, and resumes exactly."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState

from recommender.config.schema import FinetuneConfig
from trainer.run.checkpoints import drop_old, drop_start, seal, sync_folder
from trainer.run.folder import RunFolder
from trainer.worker.errors import RollBack
from trainer.worker.loop.fault_injection import inject_nonfinite, inject_out_of_memory
from trainer.worker.loop.learning import LearningCheck
from trainer.worker.loop.nonfinite import NonFinite
from trainer.worker.loop.pause import rest
from trainer.worker.loop.progress import PROGRESS, progress_of, read_progress
from trainer.worker.loop.rate import obey_rate
from trainer.worker.loop.requests import Requests
from trainer.worker.loop.resume_point import ResumePoint
from trainer.worker.output.disk_space import record, save_with_room
from trainer.worker.output.sample import Questions, ask
from trainer.worker.setup.restore import load_whole
from trainer.worker.setup.sharding import (
    Held,
    load_trained,
    optimizer_state,
    shard_states,
    sharded_parameters,
    trained_weights,
)
from trainer.worker.upstream import OpenTrainer
from trainer.worker.world import mean, this, to_the_first, wait_for_all

LEAST_ANSWERING = 5.0
"""Seconds that the fixed questions may take at an evaluation that is quicker than they are."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restore the random states afterwards, so that an evaluation more or less changes no later step."""
    states = torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        if states[1]:
            torch.cuda.set_rng_state_all(states[1])


class RecordedRun(OpenTrainer):
    """A mixin over Transformers' Trainer that makes its training a run: `class RecordedX(RecordedRun, XTrainer)`.

    Evaluations, checkpoints and troubles become events of the run folder, a checkpoint is there whole or not at all,
    requests are obeyed, and training that goes on from a checkpoint is what it would have been without the stop.
    """

    def watch(
        self,
        folder: RunFolder,
        resume_point: ResumePoint,
        requests: Requests,
        config: FinetuneConfig,
        needed: int,
        questions: Questions | None,
    ) -> None:
        """Set the run whose record takes evaluations and checkpoints, and the counters that it resumes with.

        Args:
            folder: The run.
            resume_point: Its counters so far, where it is resumed.
            requests: Obeyed in pauses.
            config: The run's configuration.
            needed: Bytes of a checkpoint, as predicted; 0 where nobody did.
            questions: Asked at each evaluation between the first step and the last.
        """
        self.folder, self.requests, self.config = folder, requests, config
        self._questions = questions
        self.first_eval, self.last_eval, self.best = resume_point.first_eval, resume_point.last_eval, resume_point.best
        self.since_best = resume_point.since_best
        self.evaluated_at: int | None = resume_point.last_eval_step
        self.tokens = resume_point.tokens
        self._needed = needed
        self._nonfinite = NonFinite(
            scaled=config.training.precision == "fp16", goes_back=config.run.on_nonfinite == "rollback"
        )
        self.stopped_early = False
        self._learning = LearningCheck()
        self._learning.done = config.method == "full"

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """Evaluate, and record the loss."""
        record(self.folder, "status", status="evaluating")
        began = time.perf_counter()
        with undisturbed():
            metrics: dict[str, float] = super().evaluate(*arguments, **options)
            took = time.perf_counter() - began
            if (loss := metrics.get("eval_loss")) is not None:
                self._take_evaluation(loss, took)
            step = int(self.state.global_step)
            if 0 < step < int(self.state.max_steps):
                # No longer than the evaluation took, between the first step and the last.
                seconds, look = max(LEAST_ANSWERING, took), self.requests.poll
                ask(self._questions, self.folder, self.model, when="during", step=step, seconds=seconds, look=look)
        record(self.folder, "status", status="training")
        return metrics

    def _take_evaluation(self, loss: float, seconds: float) -> None:
        step = int(self.state.global_step)
        self.first_eval = loss if self.first_eval is None else self.first_eval
        self.last_eval, self.evaluated_at = loss, step
        best = math.isfinite(loss) and (self.best is None or loss < self.best[0])
        self.best = (loss, step) if best else self.best
        self.since_best = 0 if best else self.since_best + 1
        record(self.folder, "eval", step=step, eval_loss=loss, rows=len(self.eval_dataset), seconds=seconds, best=best)
        if (patience := self.config.run.early_stopping) is None or step == 0:
            return
        # The best state is the run's result: it needs a checkpoint of its own.
        self.control.should_save |= best
        if self.since_best >= patience and step < int(self.state.max_steps):
            self.stopped_early = self.control.should_training_stop = self.control.should_save = True

    def on_step_reported(self) -> None:
        """Pause when a person asked for it."""
        self.drop_nonfinite_loss()
        if self.requests.agree_on_pause() and not self.control.should_training_stop:
            rest(self)

    def write_checkpoint(self, write: Callable[[], None]) -> None:
        """Save under another name, then rename: a run killed while saving resumes from the checkpoint before.

        Of several ranks the first one writes, with what the others have alone.
        """
        record(self.folder, "status", status="saving")
        with undisturbed(), self.whole(self.optimizer):
            progress = progress_of(self.tokens, mean(self.loss_since_log), self.last_logged_step)
            states = to_the_first(self.random_states()) if this().size > 1 else []
            if this().first:
                self._write_checkpoint(write, progress, states)
        record(self.folder, "status", status="training")

    @contextmanager
    def whole(self, optimizer: Any = None) -> Iterator[Any]:
        """Within it the first rank saves alone, with what was sharded gathered; every rank must come here and go.

        Args:
            optimizer: Whose states are saved too.

        Yields:
            An object with the optimizer's whole state_dict().
        """
        mine, held = self.optimizer, optimizer
        self.store_flos()
        if sharded_parameters(self.model):
            self.gathered = trained_weights(self.model)
            held = Held({} if optimizer is None else optimizer_state(optimizer))
        try:
            with self.alone():
                self.optimizer = held if optimizer is mine else mine
                yield held
        finally:
            self.optimizer, self.gathered = mine, None
        wait_for_all()

    def _write_checkpoint(
        self, write: Callable[[], None], progress: Mapping[str, Any], random_states: Sequence[bytes]
    ) -> None:
        began = time.perf_counter()
        name = f"checkpoint-{self.state.global_step}"
        written = self.folder.checkpoints / ".saving" / name
        size = 0

        def save() -> None:
            nonlocal size
            self.checkpoint_parent = written.parent
            shutil.rmtree(written.parent, ignore_errors=True)
            try:
                write()
                (written / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
                for rank, state in enumerate(random_states):
                    (written / f"rng_state_{rank}.pth").write_bytes(state)
                size = seal(written)
            except BaseException:
                shutil.rmtree(written.parent, ignore_errors=True)
                raise
            finally:
                self.checkpoint_parent = None

        with undisturbed():
            save_with_room(self.folder, self._needed, save, self.requests.poll, "saving")
        self._needed = size
        path = self.folder.checkpoints / name
        shutil.rmtree(path, ignore_errors=True)
        written.rename(path)
        sync_folder(self.folder.checkpoints)
        relative = str(path.relative_to(self.folder.path))
        seconds = time.perf_counter() - began
        record(self.folder, "checkpoint", step=int(self.state.global_step), path=relative, bytes=size, seconds=seconds)
        best = self.best[1] if self.best else None
        drop_old(self.folder, int(self.args.save_total_limit), best)
        if best:
            drop_start(self.folder)
        record(self.folder, "status", status="training")

    def rehearse_saving(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Write the bulk of a checkpoint and remove it: a failure to save shows before the first step.

        Args:
            optimizer: One of the run's kind, with its states.

        Returns:
            checkpoint_bytes and checkpoint_seconds; nothing in a rank that does not save.
        """
        with self.whole(optimizer) as held:
            return self._rehearse(held) if this().first else {}

    def _rehearse(self, optimizer: Any) -> dict[str, Any]:
        began = time.perf_counter()
        written = self.folder.checkpoints / ".saving"
        size = 0

        def save() -> None:
            nonlocal size
            shutil.rmtree(written, ignore_errors=True)
            try:
                self.save_model(str(written))
                torch.save(optimizer.state_dict(), written / "optimizer.pt")
                size = seal(written)
            finally:
                shutil.rmtree(written, ignore_errors=True)

        save_with_room(self.folder, self._needed, save, self.requests.poll, "preflight")
        self._needed = size
        return {"checkpoint_bytes": size, "checkpoint_seconds": time.perf_counter() - began}

    def has_come_to_its_end(self, done: int, total: int) -> bool:
        """Return whether a resumed run has nothing left to train: every step is done, or it had stopped early."""
        patience = self.config.run.early_stopping
        self.stopped_early = patience is not None and self.since_best >= patience and done < total
        return self.stopped_early or done >= total

    def restore(self, checkpoint: Path) -> None:
        """Take a checkpoint's weights and counts without training."""
        self.load_weights(checkpoint, self.model)
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        raw = read_progress(checkpoint)
        self.tokens = int(raw["tokens"])

    def load_weights(self, checkpoint: Path, model: Any) -> None:
        """Put a checkpoint's weights back, all of them."""
        if sharded_parameters(self.model):
            load_trained(self.model, checkpoint)
        elif self.config.method != "full" or not load_whole(model, checkpoint):
            super().load_weights(checkpoint, model)

    def go_on_from(self, checkpoint: Path) -> None:
        """Restore the state that Trainer leaves out, once it has loaded a checkpoint and before its first step."""
        raw = read_progress(checkpoint)
        self.tokens = int(raw["tokens"])
        self.add_to_loss_since_log(float(raw["loss_since_log"]))
        self.last_logged_step = int(raw["last_logged_step"])
        shard_states(self.optimizer)
        obey_rate(float(self.args.learning_rate), self.lr_scheduler, self.optimizer)

    def on_gradient(self, model: Any, norm: float) -> None:
        """Learn nothing from a step whose gradient is not finite, or return to the last checkpoint.

        Raises:
            RollBack: The step calls for an earlier checkpoint.
            InputError: An adapter that should learn has no gradient.
        """
        verdict = self._nonfinite.judge(norm)
        step = int(self.state.global_step) + 1
        if verdict == "learn" and not self._learning.done:
            self._learning.record(self.folder, model, step)
        if verdict == "back":
            raise RollBack(f"loss or gradient of step {step} is not a number")
        if verdict != "skip":
            return
        for parameter in model.parameters():
            # An optimizer leaves a weight without gradient alone: no update, no decay, no moment.
            parameter.grad = None
        record(
            self.folder,
            "warning",
            message=f"Loss or gradient of step {step} is not a number: nothing was learned from it.",
            remedy="Once is no harm. If it comes again, lower the learning rate, or look at the rows of that step.",
            step=step,
            skipped=True,
        )

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """Return the loss of one micro-batch; a test may have a fault injected into it."""
        if not model.training:
            return super().compute_loss(model, inputs, *arguments, **options)
        inject_out_of_memory(inputs)
        loss = super().compute_loss(model, inputs, *arguments, **options)
        return inject_nonfinite(loss, int(self.state.global_step) + 1, float(self.args.learning_rate))
