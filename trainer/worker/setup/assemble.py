"""Builds a run's Job from its folder: device, model, adapter, rows, trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from presets.errors import InputError
from recommender.config.io import load_config
from recommender.config.schema import FinetuneConfig
from recommender.data.tokens.converted import tokenizer_folder
from recommender.estimate.data_parallel import on_one_card
from recommender.machine.facts import Device
from recommender.model.own_code import agreed, missing
from recommender.model.spec import ModelSpec
from recommender.plan.starting_adapter import adopted, read_start
from recommender.steps import Steps, count_steps
from trainer.anatomy.ask import completed
from trainer.models.download import download
from trainer.models.own_code import agreed_code
from trainer.preflight.start_from import require_same_start
from trainer.process.tokenizer import ensure_tokenizer
from trainer.run.base_model import base_warning, check_base, commit_of, find_base
from trainer.run.folder import RunFolder
from trainer.run.plan_file import read_plan
from trainer.worker.job import Job
from trainer.worker.loop.recorded import RecordedRun
from trainer.worker.loop.recorder import StepRecorder
from trainer.worker.loop.requests import Requests
from trainer.worker.loop.resume_point import ResumePoint
from trainer.worker.loop.same_rows import require_same_rows, require_same_tokens
from trainer.worker.measure.forward import ForwardClock
from trainer.worker.measure.memory import MemoryMeter, free_bytes
from trainer.worker.output.adapter import adapter_for_trained
from trainer.worker.output.disk_space import record
from trainer.worker.setup.adapter import LOFTQ, adapter_config, config_of, load_adapter
from trainer.worker.setup.loftq import start_from_loftq
from trainer.worker.setup.loraplus import loraplus_optimizer
from trainer.worker.setup.model import load_model, settle_trainable_dtypes
from trainer.worker.setup.rows import Rows
from trainer.worker.setup.sharding import share
from trainer.worker.setup.shared_rows import rows_of_all
from trainer.worker.stages import worker_stage
from trainer.worker.stages.base import Parts
from trainer.worker.stages.rows import read_rows
from trainer.worker.upstream import require_known
from trainer.worker.world import first_before_the_others, join, this


def build(folder: RunFolder, requests: Requests, resume_point: ResumePoint, checkpoint: Path | None = None) -> Job:
    """Load model and rows and build the trainer of a run; its optimizer does not exist yet.

    Args:
        folder: The run.
        requests: Obeyed at step ends.
        resume_point: The run's counters so far, where it is resumed.
        checkpoint: What it goes on from; its weights are not read yet.

    Raises:
        InputError: The model or the data cannot be used, base or rows are not those that the run began with, or the
            installed libraries are not those that it can be trained with.
    """
    plan = read_plan(folder)
    cuda, world = _uses_cuda(plan.device), this()
    join(cuda=cuda)
    config = load_config(folder.effective_config)
    stage = worker_stage(config)
    require_known(stage.trainer)
    with first_before_the_others():
        spec = completed(_model_here(folder, config))
    if resume_point.step:
        _hold_base(folder, spec)
    code = agreed_code(folder, config, spec)
    adapter = _start_of(folder, config, spec, checkpoint)
    with first_before_the_others():
        ensure_tokenizer(spec)
    rows = _rows(folder, config, spec, resumed=resume_point.step > 0)
    whole = on_one_card(config, world.size)
    steps = count_steps(whole, len(rows.train), len(rows.held_out) if rows.held_out is not None else 0)
    torch.manual_seed(config.training.seed)
    meter = MemoryMeter(cuda=cuda, free_before=free_bytes(plan.device) if cuda else None)
    recorder = StepRecorder(folder, requests, meter, resume_point, stage.facts.figures)
    model = load_model(config, spec, cuda=cuda)
    tokenizer, peft_config = _tokenizer(spec, rows, trust=code is not None), _peft_config(config, model, adapter)
    trainer = stage.make_trainer(
        Parts(config, rows, steps, folder.checkpoints, cuda, model, tokenizer, peft_config, [recorder])
    )
    _settle(trainer, config, spec, adapter if checkpoint is None else None)
    if world.size > 1:
        recorder.clock = ForwardClock(trainer.model, cuda=cuda)
    meter.loaded(trainer.model)
    _tell_of_own_head(folder, trainer, model)
    trainer.watch(folder, resume_point, requests, config, plan.checkpoint_bytes, rows.questions)
    steps = _recounted(steps, whole, trainer, rows)
    return Job(folder, plan, config, stage, spec, rows, trainer, recorder, requests, meter, steps, code, world)


def _hold_base(folder: RunFolder, spec: ModelSpec) -> None:
    """Record a warning where a run does not say over which base it began.

    Raises:
        InputError: It began over another one.
    """
    if check_base(folder, spec) == "unknown":
        record(folder, "warning", message=base_warning(folder, "unknown"))


def _rows(folder: RunFolder, config: FinetuneConfig, spec: ModelSpec, *, resumed: bool) -> Rows:
    """Return the run's rows; a resumed run's are those that it began with.

    Raises:
        InputError: They cannot be read, or are others.
    """
    rows = rows_of_all(lambda: read_rows(config, spec), folder)
    if resumed:
        require_same_rows(folder, config.data, rows.contents)
        require_same_tokens(folder, rows.digest())
    return rows


def _uses_cuda(device: Device) -> bool:
    """Whether torch computes on a GPU; refuses a run for a GPU that it cannot use.

    A run is resumed without the checks: Transformers would train on the CPU without a word.
    """
    cuda = torch.cuda.is_available()
    if device.kind == "cuda" and not cuda:
        raise InputError(
            f"torch {torch.__version__} cannot use {device.name}, which this run is for.",
            remedy="`lora-wizard doctor` says what is in the way; the run goes on once the GPU works again.",
        )
    return cuda


def _start_of(folder: RunFolder, config: FinetuneConfig, spec: ModelSpec, checkpoint: Path | None) -> Path | None:
    """Return the saved adapter that gives the settings: the checkpoint's, else the one that training starts from."""
    if config.start_from is None:
        return None
    if checkpoint is not None:
        # The adapter that the run started from may be deleted by now.
        return checkpoint
    adopted(config, spec)
    start = read_start(config.start_from).folder
    require_same_start(folder, start)
    return adapter_for_trained(start)


def _peft_config(config: FinetuneConfig, model: Any, adapter: Path | None) -> Any:
    if config.method == "full":
        return None
    return adapter_config(config.lora, model) if adapter is None else config_of(adapter, config.lora, model)


def _settle(trainer: RecordedRun, config: FinetuneConfig, spec: ModelSpec, start: Path | None) -> None:
    """Set the adapter's start and dtypes, shard the model where that is asked for, and LoRA+'s rates."""
    if start is not None:
        load_adapter(trainer.model, start)
    elif config.lora.init_lora_weights == LOFTQ and config.method != "full":
        start_from_loftq(trainer.model, Path(str(spec.path)))
    settle_trainable_dtypes(trainer.model, config.training.precision)
    share(trainer, config.launch)
    if config.training.loraplus_lr_ratio is not None:
        trainer.optimizer = loraplus_optimizer(trainer, config.training.loraplus_lr_ratio)


def _recounted(steps: Steps, whole: FinetuneConfig, trainer: RecordedRun, rows: Rows) -> Steps:
    """Return the steps of packed rows: only the trainer knows into how many sequences they went."""
    if len(trainer.train_dataset) == len(rows.train):
        return steps
    steps = count_steps(whole, len(trainer.train_dataset), steps.eval_rows)
    trainer.args.eval_steps, trainer.args.save_steps = steps.eval_every, steps.save_every
    return steps


def _tell_of_own_head(folder: RunFolder, trainer: RecordedRun, model: Any) -> None:
    """Record that all logits are computed, where TRL's fused loss does not fit the class."""
    if why := getattr(trainer, "own_head", ""):
        message = f"TRL's fused loss does not fit {type(model).__name__}: {why}. All logits are computed instead."
        record(folder, "warning", message=message)


def _model_here(folder: RunFolder, config: FinetuneConfig) -> ModelSpec:
    """Return the model, downloaded first when it is only on the hub."""
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

    place = tokenizer_folder(spec.path) or spec.path or spec.hub_id or spec.name
    tokenizer = AutoTokenizer.from_pretrained(str(place), trust_remote_code=trust)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if rows.source is not None and rows.source.template is not None:
        tokenizer.chat_template = rows.source.template.saved
    return tokenizer
