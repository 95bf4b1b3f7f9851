"""One run from loading to its end event."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch

from recommender.config.io import load_config
from recommender.config.schema import FinetuneConfig
from recommender.model.reader import read_model
from recommender.model.spec import ModelSpec
from recommender.steps import Steps, count_steps
from trainer.launch import complete_checkpoints
from trainer.runfolder import RunFolder, record
from trainer.worker.build import adapter_config, load_model, settle_trainable_dtypes, training_arguments
from trainer.worker.memory import MemoryMeter
from trainer.worker.preflight import preflight
from trainer.worker.requests import Requests
from trainer.worker.rows import Rows, read_rows
from trainer.worker.sample import record_sample
from trainer.worker.watched import StepRecorder, WatchedTrainer


@dataclass
class Job:
    """Everything that one run needs, built."""

    folder: RunFolder
    config: FinetuneConfig
    spec: ModelSpec
    rows: Rows
    trainer: WatchedTrainer
    recorder: StepRecorder
    requests: Requests
    meter: MemoryMeter
    steps: Steps


def build(folder: RunFolder, requests: Requests) -> Job:
    """Read, load and put together; the optimizer does not exist yet.

    Raises:
        InputError: The model or the data cannot be used.
    """
    cuda = torch.cuda.is_available()
    config = load_config(folder.effective_config)
    spec = read_model(config.model, revision=config.revision)
    rows = read_rows(config, spec)
    steps = count_steps(config, len(rows.train), len(rows.held_out) if rows.held_out is not None else 0)
    torch.manual_seed(config.training.seed)
    meter = MemoryMeter(cuda=cuda)
    recorder = StepRecorder(folder, requests, meter)
    trainer = WatchedTrainer(
        model=load_model(config, spec, cuda=cuda),
        args=training_arguments(config, folder.checkpoints, steps, evaluates=rows.held_out is not None, cuda=cuda),
        train_dataset=rows.train,
        eval_dataset=rows.held_out,
        processing_class=_tokenizer(spec, rows),
        peft_config=adapter_config(config.lora) if config.method != "full" else None,
        callbacks=[recorder],
    )
    settle_trainable_dtypes(trainer.model, config.training.precision)
    trainer.watch(folder)
    return Job(folder, config, spec, rows, trainer, recorder, requests, meter, steps)


def _tokenizer(spec: ModelSpec, rows: Rows) -> Any:
    """Transformers' tokenizer, for padding and for being saved; rows were tokenised without it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(spec.path or spec.hub_id or spec.name))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if rows.source.template is not None:
        tokenizer.chat_template = rows.source.template.source
    return tokenizer


def run_preflight(job: Job) -> dict[str, Any]:
    """Measure the worst step of a built job."""
    size = job.config.training.per_device_train_batch_size
    held = [job.rows.held_out[i] for i in range(min(size, len(job.rows.held_out)))] if job.rows.held_out else []
    return preflight(job.trainer, job.rows.longest(size), held, job.meter)


def measure_only(folder: RunFolder) -> int:
    """Build, measure, print one JSON line, train nothing."""
    quiet, sys.stdout = sys.stdout, sys.stderr
    job = build(folder, Requests(folder))
    reading = run_preflight(job)
    print(json.dumps(reading), file=quiet, flush=True)
    return 0


def train(folder: RunFolder, *, resume: bool) -> int:
    """Train a run and record its end.

    Returns:
        0: finished, or stopped as asked.
    """
    began = time.monotonic()
    requests = Requests(folder)
    requests.listen_to_signals()
    job = build(folder, requests)
    checkpoint = complete_checkpoints(folder)[-1] if resume and complete_checkpoints(folder) else None
    done = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    plan = _plan(folder)
    if checkpoint is None:
        _before(job, plan)
    _record_start(job, done)
    if requests.stop == "none":
        record(folder, "status", status="training")
        job.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    status = "finished" if requests.stop == "none" else "stopped"
    if status == "finished":
        _after(job)
    if requests.stop != "now":
        _save_adapter(job)
    _record_end(job, status, plan, time.monotonic() - began)
    return 0


def _plan(folder: RunFolder) -> dict[str, Any]:
    try:
        raw = json.loads(folder.plan.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _predicted(plan: dict[str, Any]) -> int | None:
    value = plan.get("estimate", {}).get("peak", {}).get("process_bytes")
    return int(value) if isinstance(value, int | float) else None


def _before(job: Job, plan: dict[str, Any]) -> None:
    """The worst step, the loss and one answer before anything is trained."""
    record(job.folder, "status", status="preflight")
    record(job.folder, "preflight", predicted_bytes=_predicted(plan), **run_preflight(job))
    if job.rows.held_out is not None:
        job.trainer.evaluate()
    record_sample(job.folder, job.trainer.model, job.rows.sampled_from, job.rows.sampled_row, when="before", step=0)


def _record_start(job: Job, done: int) -> None:
    model = job.trainer.model
    record(
        job.folder,
        "start",
        model=job.config.model,
        method=job.config.method,
        device=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        total_steps=job.steps.total,
        epochs=job.config.training.num_train_epochs,
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        train_rows=len(job.rows.train),
        eval_rows=len(job.rows.held_out) if job.rows.held_out is not None else 0,
        bad_rows=job.rows.source.profile.bad_row_count,
        trained_share=job.rows.trained_share,
        precision=job.config.training.precision,
        effective_batch_size=job.config.training.effective_batch_size,
        resumed_from=done or None,
    )


def _after(job: Job) -> None:
    """The loss at the end, where the last evaluation was earlier, and the same answer again."""
    trainer = job.trainer
    step = int(trainer.state.global_step)
    if job.rows.held_out is not None and trainer.evaluated_at != step:
        trainer.evaluate()
    record_sample(job.folder, trainer.model, job.rows.sampled_from, job.rows.sampled_row, when="after", step=step)


def _save_adapter(job: Job) -> None:
    """Write adapter/ under a temporary name, then rename: it is there whole or not at all."""
    record(job.folder, "status", status="saving")
    temporary = job.folder.path / ".adapter.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    job.trainer.model.save_pretrained(str(temporary), safe_serialization=True)
    job.trainer.processing_class.save_pretrained(str(temporary))
    shutil.rmtree(job.folder.adapter, ignore_errors=True)
    temporary.rename(job.folder.adapter)


def _record_end(job: Job, status: str, plan: dict[str, Any], seconds: float) -> None:
    trainer = job.trainer
    peak = job.meter.current_peak()
    job.meter.close()
    losses = {"first_eval_loss": trainer.first_eval, "last_eval_loss": trainer.last_eval}
    record(
        job.folder,
        "end",
        status=status,
        reason="every step is done" if status == "finished" else "stopped as asked",
        remedy=None if status == "finished" else f"`lora-wizard resume {job.folder.id}` continues it.",
        exit_code=0,
        **{key: value for key, value in losses.items() if value is not None and math.isfinite(value)},
        best_eval_loss=trainer.best[0] if trainer.best else None,
        best_step=trainer.best[1] if trainer.best else None,
        adapter=str(job.folder.adapter) if job.folder.adapter.exists() else None,
        steps=int(trainer.state.global_step),
        tokens=job.recorder.tokens,
        seconds=seconds,
        recording_seconds=job.recorder.seconds,
        peak_bytes=peak,
        predicted_bytes=_predicted(plan),
    )
