"""One run from loading to its end event."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from presets.errors import InputError
from recommender.config.io import load_config
from recommender.config.schema import FinetuneConfig
from recommender.model.own_code import agreed, missing
from recommender.model.spec import ModelSpec
from recommender.plan.starting_adapter import adopted, read_start
from recommender.steps import Steps, count_steps
from trainer.models.download import download
from trainer.models.own_code import agreed_code
from trainer.preflight.measurements import keep
from trainer.preflight.start_from import digests, require_same_start
from trainer.run.base_model import commit_of, find_base, hold_to_base, told, write_base
from trainer.run.checkpoints import newest_whole, step_of
from trainer.run.folder import RunFolder
from trainer.run.plan_file import read_device, read_plan
from trainer.worker.loop.best import Kept, drop_start, keep_start, settle, why_kept
from trainer.worker.loop.recorder import StepRecorder
from trainer.worker.loop.requests import Requests
from trainer.worker.loop.resume_point import Past, read_past
from trainer.worker.loop.same_rows import require_same_rows, require_same_tokens
from trainer.worker.loop.trainer import WatchedTrainer, undisturbed
from trainer.worker.measure.flops import flops_per_token, peak_flops
from trainer.worker.measure.memory import MemoryMeter, free_bytes
from trainer.worker.measure.preflight import preflight
from trainer.worker.output.disk_space import give_up_reserve, hold_reserve, record
from trainer.worker.output.result import finish_adapter
from trainer.worker.setup.adapter import LOFTQ, adapter_config, config_of, load_adapter
from trainer.worker.setup.build import load_model, settle_trainable_dtypes, training_arguments
from trainer.worker.setup.loftq import start_from_loftq
from trainer.worker.setup.loraplus import loraplus_optimizer
from trainer.worker.setup.rows import Rows, longest, read_rows, tokens_of


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
    own_code: Mapping[str, str] | None
    """The model's own code that was executed: file and SHA-256."""
    kept: Kept | None = None
    """The state that the run leaves, once that is settled."""


def build(folder: RunFolder, requests: Requests, past: Past, checkpoint: Path | None = None) -> Job:
    """Read, load and put together; the optimizer does not exist yet.

    Args:
        folder: The run.
        requests: Obeyed at step ends.
        past: What earlier lives of the run came to.
        checkpoint: What it goes on from; its weights are not read yet.

    Raises:
        InputError: The model or the data cannot be used, or base or rows are not those that the run began with.
    """
    plan = read_plan(folder)
    device = plan.device
    cuda = torch.cuda.is_available()
    if device.kind == "cuda" and not cuda:
        # A run is resumed without the checks: Transformers would train on the CPU without a word.
        raise InputError(
            f"torch {torch.__version__} cannot use {device.name}, which this run is for.",
            remedy="`lora-wizard doctor` says what is in the way; the run goes on once the GPU works again.",
        )
    config = load_config(folder.effective_config)
    spec = _model_here(folder, config)
    if past.step and hold_to_base(folder, spec) == "unknown":
        record(folder, "warning", message=told(folder, "unknown"))
    code = agreed_code(folder, config, spec)
    adapter = _start_of(folder, config, spec, checkpoint)
    rows = read_rows(config, spec)
    if past.step:
        require_same_rows(folder, config.data, rows.contents)
        require_same_tokens(folder, rows.digest())
    steps = count_steps(config, len(rows.train), len(rows.held_out) if rows.held_out is not None else 0)
    torch.manual_seed(config.training.seed)
    meter = MemoryMeter(cuda=cuda, free_before=free_bytes(device) if cuda else None)
    recorder = StepRecorder(folder, requests, meter, past)
    model = load_model(config, spec, cuda=cuda)
    trainer = WatchedTrainer(
        model=model,
        args=training_arguments(
            config,
            folder.checkpoints,
            steps,
            evaluates=rows.held_out is not None,
            cuda=cuda,
            packing_strategy=rows.packing_strategy,
        ),
        train_dataset=rows.train,
        eval_dataset=rows.held_out,
        processing_class=_tokenizer(spec, rows, trust=code is not None),
        peft_config=_peft_config(config, model, adapter),
        callbacks=[recorder],
    )
    _settle(trainer, config, spec, adapter if checkpoint is None else None)
    meter.loaded(trainer.model)
    trainer.watch(folder, past, requests, config, plan.checkpoint_bytes, rows.questions)
    if len(trainer.train_dataset) != len(rows.train):
        # Packed: only now it is known into how many sequences.
        steps = count_steps(config, len(trainer.train_dataset), steps.eval_rows)
        trainer.args.eval_steps, trainer.args.save_steps = steps.eval_every, steps.save_every
    return Job(folder, config, spec, rows, trainer, recorder, requests, meter, steps, code)


def _start_of(folder: RunFolder, config: FinetuneConfig, spec: ModelSpec, checkpoint: Path | None) -> Path | None:
    """The saved adapter whose settings the trained one has: the checkpoint's, else that which training goes on from."""
    if config.start_from is None:
        return None
    if checkpoint is not None:
        # What the run started from may be gone by now.
        return checkpoint
    adopted(config, spec)
    start = read_start(config.start_from).folder
    require_same_start(folder, start)
    return start


def _peft_config(config: FinetuneConfig, model: Any, adapter: Path | None) -> Any:
    if config.method == "full":
        return None
    return adapter_config(config.lora, model) if adapter is None else config_of(adapter, config.lora)


def _settle(trainer: WatchedTrainer, config: FinetuneConfig, spec: ModelSpec, start: Path | None) -> None:
    """The adapter's start and dtypes, and its optimizer where that is not the trainer's own."""
    if start is not None:
        load_adapter(trainer.model, start)
    elif config.lora.init_lora_weights == LOFTQ and config.method != "full":
        start_from_loftq(trainer.model, Path(str(spec.path)))
    settle_trainable_dtypes(trainer.model, config.training.precision)
    if config.training.loraplus_lr_ratio is not None:
        trainer.optimizer = loraplus_optimizer(trainer, config.training.loraplus_lr_ratio)


def _model_here(folder: RunFolder, config: FinetuneConfig) -> ModelSpec:
    """The model, downloaded first when it is only on the hub."""
    spec = find_base(folder, config)
    lacks_code = agreed(config, spec) and bool(missing(spec))
    if (spec.has_weights and not lacks_code) or spec.hub_id is None or spec.access:
        return spec
    record(folder, "status", status="downloading")
    download(
        spec.hub_id,
        commit_of(folder, config),
        lambda file, done, total: record(folder, "download", file=file, done_bytes=done, total_bytes=total),
        code=bool(spec.own_code),
    )
    record(folder, "status", status="loading")
    return find_base(folder, config)


def _tokenizer(spec: ModelSpec, rows: Rows, *, trust: bool) -> Any:
    """Transformers' tokenizer, for padding and for being saved; rows were tokenised without it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(spec.path or spec.hub_id or spec.name), trust_remote_code=trust)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if rows.source.template is not None:
        tokenizer.chat_template = rows.source.template.saved
    return tokenizer


def run_preflight(job: Job, *, saves: bool) -> dict[str, Any]:
    """Measure the worst step of a built job, and a checkpoint where the run's own disk is at hand."""
    size = job.config.training.per_device_train_batch_size
    held = longest(job.rows.held_out, size) if job.rows.held_out is not None else []
    save = job.trainer.rehearse_saving if saves else None
    return preflight(job.trainer, longest(job.trainer.train_dataset, size), held, job.meter, save)


def measure_only(folder: RunFolder) -> int:
    """Build, measure, print one JSON line, train nothing."""
    quiet, sys.stdout = sys.stdout, sys.stderr
    job = build(folder, Requests(folder), Past())
    reading = run_preflight(job, saves=False)
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
    checkpoint = _last_checkpoint(folder) if resume else None
    done = step_of(checkpoint) if checkpoint else 0
    job = build(folder, requests, read_past(folder, done) if checkpoint else Past(), checkpoint)
    if checkpoint is None:
        write_base(folder, job.spec)
    plan = _plan(folder)
    _record_start(job, done)
    if checkpoint is None:
        _before(job, plan)
    else:
        if folder.effective_config.read_bytes() != folder.config.read_bytes():
            _preflight(job, plan)
        evaluates_here = job.steps.eval_every is not None and done % job.steps.eval_every == 0
        job.recorder.go_on(job.trainer, checkpoint, evaluates_here)
    requests.leave_if_asked()
    hold_reserve(folder)
    record(folder, "status", status="training")
    if checkpoint is not None and job.trainer.has_come_to_its_end(done, job.steps.total):
        # Killed after its last checkpoint: Trainer would train one step more.
        job.trainer.restore(checkpoint)
        job.recorder.tokens = int(job.trainer._total_train_tokens)
    else:
        job.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finished = job.trainer.stopped_early or int(job.trainer.state.global_step) >= int(job.trainer.state.max_steps)
    give_up_reserve(folder)
    if finished and job.config.run.early_stopping is not None:
        # Only evaluated can the last state be held against the best one.
        _evaluate_at_end(job)
    job.kept = settle(job, finished=finished)
    # The adapter first: nothing that comes after may cost it.
    finish_adapter(job)
    if finished:
        drop_start(folder)
        _after(job)
    _record_end(job, "finished" if finished else "stopped", plan, time.monotonic() - began)
    return 0


def _last_checkpoint(folder: RunFolder) -> Path | None:
    """The newest whole checkpoint; says which newer ones are damaged."""
    found, passed_over = newest_whole(folder)
    for wrong in passed_over:
        instead = f"the run goes on from {found.name}" if found else "the run begins anew"
        record(folder, "warning", message=f"{wrong}: {instead}.")
    return found


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
    _preflight(job, plan)
    if job.rows.held_out is not None:
        job.trainer.evaluate()
        if job.config.run.early_stopping is not None:
            keep_start(job)
    job.requests.leave_if_asked()
    with undisturbed():
        _ask(job, "before", 0)


def _preflight(job: Job, plan: dict[str, Any]) -> None:
    """Measure and record."""
    job.requests.leave_if_asked()
    record(job.folder, "status", status="preflight")
    reading = run_preflight(job, saves=True)
    record(job.folder, "preflight", predicted_bytes=_predicted(plan), **reading)
    # After a recovery too: the next estimate on this machine knows what this one did not.
    keep(job.config, job.spec, read_device(job.folder), job.rows.source.profile, reading)
    job.requests.leave_if_asked()


def _record_start(job: Job, done: int) -> None:
    model = job.trainer.model
    record(
        job.folder,
        "start",
        model=job.config.model,
        method=job.config.method,
        device=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        total_steps=job.steps.total,
        eval_every=job.steps.eval_every,
        save_every=job.steps.save_every,
        epochs=job.config.training.num_train_epochs,
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        train_rows=len(job.rows.train),
        eval_rows=len(job.rows.held_out) if job.rows.held_out is not None else 0,
        bad_rows=job.rows.source.profile.bad_row_count,
        trained_share=job.rows.trained_share,
        precision=job.config.training.precision,
        effective_batch_size=job.config.training.effective_batch_size,
        tokens_per_step=_tokens_per_step(job),
        flops_per_token=flops_per_token(job.config, job.spec),
        peak_flops=peak_flops(job.config, read_device(job.folder)),
        resumed_from=done or None,
        own_code=dict(job.own_code) if job.own_code else None,
        contents=asdict(job.rows.contents) | {"tokens_sha256": job.rows.digest()},
        start_from=_started_from(job, done),
    )


def _started_from(job: Job, done: int) -> dict[str, Any] | None:
    """The adapter that a run begins with; one that goes on from a checkpoint began earlier."""
    if job.config.start_from is None or done:
        return None
    adapter = read_start(job.config.start_from).folder
    return {"adapter": str(adapter), "sha256": digests(adapter)}


def _tokens_per_step(job: Job) -> float:
    """On average over the run; where rows are packed, a row is a packed one."""
    each = tokens_of(job.rows.train) / max(1, len(job.trainer.train_dataset))
    return float(each * job.config.training.effective_batch_size)


def _after(job: Job) -> None:
    """The loss at the end, where the last evaluation was earlier, and the same answer again."""
    _evaluate_at_end(job)
    _ask(job, "after", int(job.trainer.state.global_step))


def _evaluate_at_end(job: Job) -> None:
    if job.rows.held_out is not None and job.trainer.evaluated_at != int(job.trainer.state.global_step):
        job.trainer.evaluate()


def _ask(job: Job, when: str, step: int) -> None:
    job.rows.questions.record(job.folder, job.trainer.model, when=when, step=step, look=job.requests.poll)


def _why(job: Job, status: str) -> str:
    kept = why_kept(job, job.kept) if job.kept else ""
    if job.trainer.stopped_early:
        return f"stopped early{f': {kept}' if kept else ''}"
    if job.requests.stop_after_epoch and not job.requests.stop and status == "stopped":
        return "stopped after the epoch, as asked"
    if status == "finished":
        return f"every step is done{f'; {kept}' if kept else ''}"
    return "stopped as asked"


def _record_end(job: Job, status: str, plan: dict[str, Any], seconds: float) -> None:
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
        predicted_bytes=_predicted(plan),
    )


def _loss_of(job: Job) -> float | None:
    """Evaluation loss of the state that the run leaves; None where it was not evaluated, or is not finite."""
    trainer, kept = job.trainer, job.kept
    if kept is None:
        return None
    loss = trainer.last_eval if kept.step == trainer.evaluated_at else kept.loss
    return loss if loss is not None and math.isfinite(loss) else None
