"""Warnings of a plan, to be known before a start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from recommender.config.schema import FinetuneConfig
from recommender.data.held_out_cut import held_out_warnings
from recommender.data.profile.profile import DataProfile
from recommender.estimate.data_parallel import on_one_card, processes_of
from recommender.estimate.types import Estimate
from recommender.machine.facts import Device
from recommender.memory.modules import unseen_patterns
from recommender.model.own_code import question
from recommender.model.spec import ModelSpec
from recommender.plan.checks.of_class import about_class
from recommender.plan.checks.unusual import far_values
from recommender.plan.starting_adapter import template_of_start
from recommender.plan.types import Remedy
from recommender.rules.length import KEEP, MULTIPLE, lost_share, reach
from recommender.rules.schedule import WARMS_UP
from recommender.steps import plan_steps
from recommender.units import count, counted, gib, percent, small
from recommender.warning import CodedWarning, stop, warning, worst_first

NOTHING_FITS = "nothing_fits"
FEW_ROWS = 100
FEW_LONG = 0.005
MUCH_LONGER = 4
"""Ratio of the length limit to the need of all but 0.5 % of rows, from which few rows are said to set it."""
VERY_FEW_ROWS = 10
MANY_COPIES = 0.05
"""Share of rows from which exact copies are warned of. Lee et al. 2022 (Deduplicating Training Data) found 3 to 5 % of
near copies in C4 and LM1B, and that a model writes out what it was shown often."""


def warnings_of(
    config: FinetuneConfig,
    model: ModelSpec,
    device: Device,
    data: DataProfile | None,
    estimate: Estimate,
    remedies: Sequence[Remedy] = (),
) -> tuple[CodedWarning, ...]:
    """Return the warnings of a plan, the gravest first."""
    return worst_first(_warnings(config, model, device, data, estimate, remedies))


def _warnings(
    config: FinetuneConfig,
    model: ModelSpec,
    device: Device,
    data: DataProfile | None,
    estimate: Estimate,
    remedies: Sequence[Remedy],
) -> Iterator[CodedWarning]:
    if device.passed_over:
        yield warning("gpu_passed_over", f"{device.passed_over} This plan is for the CPU.")
    yield from _about_fit(estimate, device)
    if estimate.fits == "no" and all(remedy.fits == "no" for remedy in remedies):
        yield what_would_fit(config, model, device, data, estimate)
    if model.unsupported:
        yield stop("model_unsupported", model.unsupported)
    if data is not None:
        yield from data.stops_at(config.data.max_length)
        yield from held_out_warnings(data, config)
        yield from data.held_out.warnings_at(config.data.max_length) if data.held_out else ()
        yield from _about_cuts(config, data)
    # Warnings of the person's own values come before those of machine, model and rows.
    yield from far_values(config, model, device, data)
    yield from _about_processes(config, device, estimate)
    if model.access:
        yield warning("model_access", model.access)
    if model.own_code:
        if config.trust_remote_code is None:
            yield warning("own_code_unanswered", " ".join(question(model, config.model)))
        yield warning(
            "own_code",
            f"{model.name} is built by its own code and priced as a Llama of its sizes: the worst-case step on Check "
            "measures what it really takes.",
        )
    yield from about_class(config, model, device)
    reached = config.data.max_length if data is None else min(config.data.max_length, data.longest)
    if reached > model.max_position_embeddings and config.rope_scaling is None:
        stretch = ", or leave rope_scaling to the plan" if config.data.max_length <= reach(model) else ""
        yield warning(
            "beyond_context",
            f"max_length {count(config.data.max_length)} is beyond the model's own context of "
            f"{count(model.max_position_embeddings)} tokens, where it has learnt nothing: shorten it{stretch}.",
        )
    if told := template_of_start(config, model):
        yield warning("template_of_start", told)
    for key, pattern in unseen_patterns(config, model):
        yield warning(
            "pattern_unseen",
            f"lora.{key}: whether a layer's path matches '{pattern}' is known once the model is loaded. It is priced "
            "as if none did, and PEFT passes over what matches none without a word.",
        )
    yield from _about_steps(on_one_card(config, processes_of(config, device)), data)
    if data is not None:
        yield from _about_rows(config, data)
        yield from data.warnings
    yield from _about_training(config, device)
    if device.simulated:
        yield warning("simulated", f"{device.name} is simulated: this plan can be exported, not trained here.")


def _about_processes(config: FinetuneConfig, device: Device, estimate: Estimate) -> Iterator[CodedWarning]:
    processes = processes_of(config, device)
    if processes == 1:
        return
    if device.kind == "cpu":
        yield warning(
            "processes_on_cpu",
            f"{processes} processes share this machine's cores and memory: a step takes as long as in one. This is for "
            "trying a launch and for tests.",
            "Set launch.processes to auto to train in one process.",
        )
        return
    sharded = config.launch.kind == "fsdp"
    shares = "a shard of the model" if sharded else "the whole model"
    enough = "" if estimate.fits == "no" or sharded else f" One of the {processes} is enough to train here."
    yield warning(
        "several_cards",
        f"{processes} cards share the rows of a step, each with {shares}: this was worked out and not measured."
        f"{enough}",
    )


def _about_steps(config: FinetuneConfig, data: DataProfile | None) -> Iterator[CodedWarning]:
    """Warn of values set in steps that do not go with the steps of the run."""
    planned = plan_steps(config, data)
    total = config.training.max_steps if planned is None else planned.total
    if total is None:
        return
    training, run = config.training, config.run
    steps = counted(total, "step")
    # Of the schedules, 'constant' alone has no warmup.
    warms_up = training.warmup_steps > 0 and training.lr_scheduler_type != "constant"
    if warms_up and total == 1:
        yield warning(
            "warmup_only",
            "The run's only step is one of warmup, at a rate of 0: nothing is learnt.",
            "Set warmup_steps to 0.",
        )
    elif warms_up and total < WARMS_UP and (training.warmup_steps == 1 or ceil(training.warmup_steps * total) == 1):
        yield warning(
            "warmup_of_one_step",
            f"In a warmup the first step has rate 0: 1 of the run's {steps} learns nothing.",
            "Set warmup_steps to 0: the run is short.",
        )
    elif warms_up and training.warmup_steps >= total:
        yield warning(
            "warmup_beyond_run",
            f"warmup_steps {count(int(training.warmup_steps))} leaves nothing of the run's {steps}: the rate never "
            "reaches its peak.",
            "A share of the run is given below 1, such as 0.05.",
        )
    evaluates = planned is None or planned.eval_rows != 0
    if evaluates and run.eval_steps != "auto" and run.eval_steps > total:
        yield warning(
            "eval_beyond_run",
            f"eval_steps {count(run.eval_steps)} is beyond the run's {steps}: it is evaluated once, at its end, and "
            "no earlier checkpoint can be the best.",
        )
    if run.save_steps != "auto" and run.save_steps > total:
        yield warning(
            "save_beyond_run",
            f"save_steps {count(run.save_steps)} is beyond the run's {steps}: a run that dies before its end leaves "
            "nothing to go on from.",
        )


def _about_training(config: FinetuneConfig, device: Device) -> Iterator[CodedWarning]:
    training = config.training
    if device.mig:
        yield warning(
            "slice_of_gpu",
            f"{device.name} is a slice of a GPU (MIG): its speed is taken in proportion to the slice.",
        )
    flash = training.attn_implementation.startswith("flash")
    if flash and not device.flash_attention and not device.simulated:
        yield warning(
            "flash_attn_missing",
            f"{training.attn_implementation} needs the flash-attn package, which is not installed here.",
        )


def _about_fit(estimate: Estimate, device: Device) -> Iterator[CodedWarning]:
    high, free = estimate.peak.most_bytes, estimate.free_bytes
    if estimate.fits == "no":
        over = estimate.peak.needed_bytes - free
        yield stop(
            "does_not_fit",
            f"Does not fit: {gib(estimate.peak.needed_bytes)} needed, {gib(free)} free on {device.name}, "
            f"{gib(over)} too much.",
        )
    elif estimate.fits == "tight":
        yield warning("tight", f"Tight: it may take up to {gib(high)} of {gib(free)} free.")


def what_would_fit(
    config: FinetuneConfig, model: ModelSpec, device: Device, data: DataProfile | None, estimate: Estimate
) -> CodedWarning:
    """Return a way out for a plan that no remedy makes fit: this device when idle, another, or another model."""
    from recommender.estimate.estimate import estimate as formula
    from recommender.estimate.limits import biggest_model, smallest_card

    if estimate.peak.most_bytes <= device.total_bytes:
        used = gib(device.total_bytes - device.free_bytes)
        return warning(
            NOTHING_FITS,
            f"{used} of {gib(device.total_bytes)} are in use on {device.name}: end what uses them, and it fits.",
        )
    more = estimate.peak.most_bytes - formula(config, model, device, data).peak.most_bytes
    card = smallest_card(config, model, data, more=more) if device.kind == "cuda" else None
    smaller = biggest_model(config, device, data)
    if card:
        needed = f"it would on {card[0]} ({gib(card[1])})"
    elif device.kind == "cuda":
        needed = "no card of the catalogue holds it"
    else:
        needed = "it needs more memory than this machine has"
    here = (
        f"the largest model that fits here is {smaller[0]} ({count(smaller[1])})"
        if smaller
        else "no model of the catalogue fits here"
    )
    return warning(NOTHING_FITS, f"Nothing below makes it fit: {needed}; {here}.")


def _about_copies(config: FinetuneConfig, data: DataProfile) -> Iterator[CodedWarning]:
    """Warn of exact copies of rows, and of an evaluation split that they spoil."""
    if data.duplicates >= MANY_COPIES * data.rows:
        are = "is an exact copy" if data.duplicates == 1 else "are exact copies"
        earlier = "an earlier one" if data.duplicates == 1 else "earlier ones"
        yield warning(
            "copies",
            f"{count(data.duplicates)} of {count(data.rows)} rows {are} of {earlier}: what is repeated is learnt by "
            "heart.",
            "Take the copies out, unless it is to weigh more.",
        )
    fraction = config.data.eval_fraction
    wanted = config.data.eval is None and data.rows > 1 and fraction > 0
    if wanted and not data.held_out_by_split(fraction, config.training.seed):
        yield warning(
            "nothing_held_out",
            f"No row is held out: copies of a row stay on one side, and every row has more than {percent(fraction)} of "
            "all. Nothing is evaluated: take the copies out, or give data.eval files of its own.",
        )


def _about_cuts(config: FinetuneConfig, data: DataProfile) -> Iterator[CodedWarning]:
    """Warn of trained tokens cut by the length limit, beyond the share that the recommended limit may cut."""
    length = config.data.max_length
    lost = lost_share(data, length)
    if lost > 1 - KEEP + 1e-9:
        yield warning(
            "length_cuts",
            f"max_length {count(length)} cuts {count(data.rows_cut(length))} of {count(data.rows)} rows and "
            f"{percent(lost)} of trained tokens.",
        )


def _about_rows(config: FinetuneConfig, data: DataProfile) -> Iterator[CodedWarning]:
    if data.rows < VERY_FEW_ROWS:
        noun = "row" if data.rows == 1 else "rows"
        yield warning(
            "very_few_rows",
            f"{count(data.rows)} {noun}: too few to learn from and to judge by; expect a repetition of them.",
        )
    elif data.rows < FEW_ROWS:
        yield warning(
            "few_rows",
            f"{count(data.rows)} rows are few: expect style to be learnt, not knowledge, and watch the evaluation "
            "loss.",
        )
    yield from _about_copies(config, data)
    held = data.held_out_by_split(config.data.eval_fraction, config.training.seed)
    left = data.rows - held
    if config.data.eval is None and left < VERY_FEW_ROWS <= data.rows and left < data.rows / 2:
        yield warning(
            "few_left_to_train",
            f"eval_fraction {small(config.data.eval_fraction)} holds out {count(held)} of "
            f"{count(data.rows)} rows: {counted(left, 'row')} to train on, too few to learn from.",
        )
    length = config.data.max_length
    usual = -(-data.quantile(1 - FEW_LONG) // MULTIPLE) * MULTIPLE
    long = data.rows_cut(usual)
    reached = min(length, data.longest)
    if data.rows >= VERY_FEW_ROWS and long and reached >= MUCH_LONGER * usual:
        yield warning(
            "few_long_rows",
            f"{counted(long, 'row')} of {count(data.rows)} {'is' if long == 1 else 'are'} longer than {count(usual)} "
            f"tokens: that max_length would keep all others whole, and need far less memory than {count(reached)}.",
        )
