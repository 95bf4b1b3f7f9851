"""Trains one run from loading to its end event."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from recommender.plan.starting_adapter import read_start
from trainer.preflight.measurements import keep
from trainer.preflight.start_from import digests
from trainer.run.base_model import write_base
from trainer.run.checkpoints import drop_start, newest_whole, step_of
from trainer.run.folder import RunFolder
from trainer.run.ranks import of_rank
from trainer.worker.job import Job
from trainer.worker.loop.best import keep_start, settle, why_kept
from trainer.worker.loop.recorded import undisturbed
from trainer.worker.loop.requests import Requests
from trainer.worker.loop.resume_point import ResumePoint, read_resume_point
from trainer.worker.measure.flops import flops_per_token, peak_flops
from trainer.worker.measure.preflight import preflight
from trainer.worker.output.adapter import refusal_of_served
from trainer.worker.output.disk_space import give_up_reserve, hold_reserve, record
from trainer.worker.output.result import finish_adapter
from trainer.worker.output.sample import ask
from trainer.worker.setup.assemble import build
from trainer.worker.setup.rows import longest, row_lengths
from trainer.worker.setup.sharding import reality
from trainer.worker.world import leave, wait_for_all, worst


def run_preflight(job: Job, *, saves: bool) -> dict[str, Any]:
    """Measure the worst step of a built job, and a checkpoint where the run's own disk is at hand.

    Returns:
        The keys of a 'preflight' event.
    """
    size, columns = job.config.training.per_device_train_batch_size, job.stage.facts.token_columns
    rows = longest(job.trainer.train_dataset, columns, size)
    held = longest(job.rows.held_out, columns, size) if job.rows.held_out is not None else []
    save = job.trainer.rehearse_saving if saves else None
    length = max(sum(len(row[name]) for name in columns) for row in rows)
    return {**preflight(job.trainer, rows, held, job.meter, save), "length": length}


def measure_only(folder: RunFolder) -> int:
    """Build, measure, print one JSON line, train nothing."""
    quiet, sys.stdout = sys.stdout, sys.stderr
    job = build(folder, Requests(folder), ResumePoint())
    reading = worst(run_preflight(job, saves=False))
    leave()
    print(json.dumps(reading), file=quiet, flush=True)
    return 0


def train(folder: RunFolder, requests: Requests, *, resume: bool) -> int:
    """Train a run and record its end.

    Args:
        folder: The run.
        requests: Listening already: a stop may come while libraries are imported.
        resume: Go on from the last complete checkpoint; from the beginning where there is none.

    Returns:
        0: finished, or stopped as asked.

    Raises:
        StopNow: Asked to leave without saving.
        InputError: The model or the data cannot be used.
    """
    began = time.monotonic()
    first = of_rank(folder, 0)
    checkpoint = _last_checkpoint(folder) if resume else None
    done = step_of(checkpoint) if checkpoint else 0
    job = build(folder, requests, read_resume_point(first, done) if checkpoint else ResumePoint(), checkpoint)
    if checkpoint is None and job.world.first:
        write_base(folder, job.spec)
    _record_start(job, done)
    if checkpoint is None:
        _before(job)
    else:
        if folder.effective_config.read_bytes() != folder.config.read_bytes():
            _preflight(job)
        evaluates_here = job.steps.eval_every is not None and done % job.steps.eval_every == 0
        job.recorder.go_on(job.trainer, checkpoint, evaluates_here)
    requests.leave_if_asked()
    if job.world.first:
        hold_reserve(folder)
    record(folder, "status", status="training")
    _train_on(job, checkpoint, done)
    finished = job.trainer.stopped_early or int(job.trainer.state.global_step) >= int(job.trainer.state.max_steps)
    if job.world.first:
        give_up_reserve(folder)
    _keep(job, finished=finished)
    if finished and job.world.first:
        drop_start(folder)
    if finished:
        _after(job)
    _record_end(job, "finished" if finished else "stopped", time.monotonic() - began)
    return 0


def _train_on(job: Job, checkpoint: Path | None, done: int) -> None:
    """Train the steps that are left after a checkpoint of so many; all where there is none."""
    if checkpoint is not None and job.trainer.has_come_to_its_end(done, job.steps.total):
        # Killed after its last checkpoint: Trainer would train one step more.
        job.trainer.restore(checkpoint)
        job.recorder.tokens = job.trainer.tokens
    else:
        job.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _keep(job: Job, *, finished: bool) -> None:
    """Save the adapter of the best state, or the last, before a later part can fail."""
    if finished and job.config.run.early_stopping is not None:
        # The last state needs an evaluation to be compared with the best one.
        _evaluate_at_end(job)
    job.kept = settle(job.trainer, finished=finished)
    with job.trainer.whole():
        if job.world.first:
            finish_adapter(job)


def _last_checkpoint(folder: RunFolder) -> Path | None:
    """Return the newest whole checkpoint, and record a warning of each damaged newer one."""
    found, passed_over = newest_whole(folder)
    for wrong in passed_over:
        instead = f"the run goes on from {found.name}" if found else "the run begins anew"
        record(folder, "warning", message=f"{wrong}: {instead}.")
    return found


def _before(job: Job) -> None:
    """Measure the worst step, the loss and one answer before anything is trained."""
    _ask_whether_served(job)
    _preflight(job)
    if job.rows.held_out is not None:
        job.trainer.evaluate()
        if job.config.run.early_stopping is not None:
            keep_start(job.trainer)
    job.requests.leave_if_asked()
    with undisturbed():
        _ask(job, "before", 0)
    wait_for_all()


def _ask_whether_served(job: Job) -> None:
    """Say before training where the adapter will have no names in the class that config.json names."""
    if job.config.method == "full":
        return
    why = refusal_of_served(job.trainer.model, Path(str(job.spec.path)), own_code=bool(job.own_code))
    if why is not None:
        message = f"Servers of the published model will not take this adapter: {why.message}"
        record(job.folder, "warning", message=message, remedy=why.remedy)


def _preflight(job: Job) -> None:
    """Run the preflight step and record its memory."""
    job.requests.leave_if_asked()
    record(job.folder, "status", status="preflight")
    reading = run_preflight(job, saves=True)
    # The run's figure is that of the rank with the least room; each rank records its own.
    all_of_them = worst(reading)
    reading = all_of_them if job.world.first else reading
    record(job.folder, "preflight", predicted_bytes=job.plan.predicted_bytes, **reading)
    if job.rows.source is not None:
        # Kept after a recovery too: the next estimate on this machine is corrected by it.
        keep(job.config, job.spec, job.plan.device, job.rows.source.profile, reading)
    job.requests.leave_if_asked()


def _record_start(job: Job, done: int) -> None:
    model = job.trainer.model
    record(
        job.folder,
        "start",
        model=job.config.model,
        method=job.config.method,
        stage=job.stage.facts.name,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        total_steps=job.steps.total,
        eval_every=job.steps.eval_every,
        save_every=job.steps.save_every,
        epochs=job.config.training.num_train_epochs,
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        train_rows=len(job.rows.train),
        eval_rows=len(job.rows.held_out) if job.rows.held_out is not None else 0,
        bad_rows=job.rows.bad_rows,
        trained_share=job.rows.trained_share,
        precision=job.config.training.precision,
        effective_batch_size=job.config.training.effective_batch_size * job.world.size,
        tokens_per_step=_tokens_per_step(job),
        flops_per_token=flops_per_token(job.config, job.spec),
        peak_flops=peak * job.world.size if (peak := peak_flops(job.config, job.plan.device)) else None,
        resumed_from=done or None,
        own_code=dict(job.own_code) if job.own_code else None,
        contents=asdict(job.rows.contents) | {"tokens_sha256": job.rows.digest()},
        start_from=_started_from(job, done),
        **reality(job.trainer, job.config.launch),
    )


def _started_from(job: Job, done: int) -> dict[str, Any] | None:
    """Return the adapter that a run begins with; None for one resumed from a checkpoint, which began earlier."""
    if job.config.start_from is None or done:
        return None
    adapter = read_start(job.config.start_from).folder
    return {"adapter": str(adapter), "sha256": digests(adapter)}


def _tokens_per_step(job: Job) -> float:
    """Return the average tokens of a step over an epoch, whose last step may have fewer rows than the others."""
    tokens = int(row_lengths(job.rows.train, job.stage.facts.token_columns).sum())
    return tokens / job.steps.per_epoch


def _after(job: Job) -> None:
    """Evaluate at the end, where the last evaluation was earlier, and ask the same questions again."""
    _evaluate_at_end(job)
    _ask(job, "after", int(job.trainer.state.global_step))


def _evaluate_at_end(job: Job) -> None:
    if job.rows.held_out is not None and job.trainer.evaluated_at != int(job.trainer.state.global_step):
        job.trainer.evaluate()


def _ask(job: Job, when: str, step: int) -> None:
    ask(job.rows.questions, job.folder, job.trainer.model, when=when, step=step, look=job.requests.poll)


def _why(job: Job, status: str) -> str:
    kept = why_kept(job.trainer, job.kept) if job.kept else ""
    if job.trainer.stopped_early:
        return f"stopped early{f': {kept}' if kept else ''}"
    if job.requests.stop_after_epoch and not job.requests.stop and status == "stopped":
        return "stopped after the epoch, as asked"
    if status == "finished":
        return f"every step is done{f'; {kept}' if kept else ''}"
    return "stopped as asked"


def _record_end(job: Job, status: str, seconds: float) -> None:
    trainer, kept = job.trainer, job.kept
    losses = {"first_eval_loss": trainer.first_eval, "last_eval_loss": trainer.last_eval}
    record(
        job.folder,
        "end",
        status=status,
        reason=_why(job, status),
        remedy=None if status == "finished" else f"`lora-wizard resume {job.folder.argument}` continues it.",
        exit_code=0,
        **{key: value for key, value in losses.items() if value is not None and math.isfinite(value)},
        best_eval_loss=trainer.best[0] if trainer.best else None,
        best_step=trainer.best[1] if trainer.best else None,
        adapter=str(job.folder.adapter) if job.folder.adapter.exists() else None,
        adapter_step=kept.step if kept else None,
        adapter_eval_loss=_loss_of(job),
        steps=int(trainer.state.global_step),
        tokens=job.recorder.tokens,
        seconds=seconds,
        recording_seconds=job.recorder.seconds,
        peak_bytes=job.meter.peak(),
        predicted_bytes=job.plan.predicted_bytes,
    )


def _loss_of(job: Job) -> float | None:
    """Return the evaluation loss of the kept state; None where it was not evaluated, or is not finite."""
    trainer, kept = job.trainer, job.kept
    if kept is None:
        return None
    loss = trainer.last_eval if kept.step == trainer.evaluated_at else kept.loss
    return loss if loss is not None and math.isfinite(loss) else None
