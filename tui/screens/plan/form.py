"""Rows of the settings form: their labels, the keys that they edit, and the notes beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from typing import TYPE_CHECKING, Any

from recommender.machine.capability import version
from recommender.stages import keys_of_others, stage_of
from recommender.units import count, counted, percent, small
from tui.terminal.sanitize import clean

if TYPE_CHECKING:
    from recommender.plan.types import Plan

Note = Callable[["Plan"], str]
WORDS: Mapping[Any, str] = {True: "on", False: "off", None: "none"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the form."""

    label: str
    keys: tuple[str, ...]
    """Dotted keys that it shows and edits, in order."""
    joint: str = " / "
    """Separator of their values."""
    note: Note = field(default=lambda _plan: "")
    """Short text beside it, derived from the plan."""
    adapter: bool = False
    """Whether it only means something when an adapter is trained."""
    only: Callable[[Plan], bool] = field(default=lambda _plan: True)
    """Whether it means something for this plan."""


def value_text(key: str, value: Any) -> str:
    """A value as the form shows it."""
    from recommender.config.schema import RopeScaling

    if key == "start_from" and value:
        # A run's adapter is called like every other run's: the run's own name tells them apart.
        parts = [part for part in str(value).split("/") if part]
        return clean(parts[-2] if len(parts) > 1 and parts[-1] == "adapter" else parts[-1])
    if key == "model":
        return clean(str(value).rstrip("/").rpartition("/")[2])
    if isinstance(value, bool) or value is None:
        return WORDS[value]
    if isinstance(value, float):
        return small(value)
    if isinstance(value, list):
        return ", ".join(clean(str(item)) for item in value) or "none"
    if isinstance(value, RopeScaling):
        return f"{value.rope_type} × {value.factor:g}"
    if isinstance(value, dict):
        return ", ".join(f"{clean(str(k))}: {v}" for k, v in value.items()) or "none"
    return clean(str(value))


def followed(before: Plan, after: Plan) -> dict[str, tuple[str, str]]:
    """Values that an edit moved although it was not of them, as the form shows them: key to old and new.

    Nothing between plans of other goals, or made for another device, model or data: there all may be new.
    """
    from recommender.config.edit import diff

    if (before.goal, before.device, before.model, before.data) != (after.goal, after.device, after.model, after.data):
        return {}
    old, new = before.overrides, after.overrides
    edited = {key for key in {**old, **new} if (key in old, old.get(key)) != (key in new, new.get(key))}
    if not edited:
        return {}
    moved = {key: pair for key, pair in diff(before.config, after.config).items() if key not in edited}
    return {key: (value_text(key, was), value_text(key, now)) for key, (was, now) in moved.items()}


def _model(plan: Plan) -> str:
    return count(plan.model.total_parameters)


def _method(plan: Plan) -> str:
    held = plan.config.quantization
    if held.bits is None:
        width = 32 if plan.config.training.precision == "fp32" else 16
        return f"{width}-bit base" if plan.config.method == "lora" else "all weights"
    return f"{held.quant_type}{', double quant' if held.double_quant else ''}" if held.bits == 4 else "8-bit base"


def _trainable(plan: Plan) -> str:
    return f"{count(plan.estimate.trainable_parameters)} trained"


def _targets(plan: Plan) -> str:
    kinds = {linear.name for linear in plan.model.linears}
    chosen = plan.config.lora.target_modules
    return f"{len(kinds) if chosen == 'all-linear' else len(chosen)} of {len(kinds)} kinds"


def _sure(plan: Plan) -> str:
    """Confidence of the rate, and the key that settles it where it is not sure."""
    key = "training.learning_rate"
    reason = plan.reasons.get(key)
    if reason is None or key in plan.overrides:
        return "T tries others"
    return "sure" if reason.confidence == "high" else f"{reason.confidence}: T tries"


def _warmup(plan: Plan) -> str:
    steps, warmup = steps_of(plan), plan.config.training.warmup_steps
    if steps is None:
        return ""
    # As `TrainingArguments.get_warmup_steps` counts them (Transformers 5.23).
    return f"warmup {counted(ceil(steps * warmup) if warmup < 1 else int(warmup), 'step')}"


def steps_of(plan: Plan) -> int | None:
    """Optimizer steps of the run; None where rows are unknown."""
    from recommender.estimate.data_parallel import on_one_card, processes_of
    from recommender.steps import plan_steps

    planned = plan_steps(on_one_card(plan.config, processes_of(plan.config, plan.device)), plan.data)
    return plan.config.training.max_steps if planned is None else planned.total


def _batch(plan: Plan) -> str:
    from recommender.data.packing import packs
    from recommender.estimate.data_parallel import processes_of

    unit, cards = "sequences" if packs(plan.config) else "rows", processes_of(plan.config, plan.device)
    total, each = plan.config.training.effective_batch_size * cards, _each_of(plan)
    return f"= {counted(total, unit[:-1])} a step" if cards == 1 else f"× {cards} {each} = {total} {unit}"


def _each_of(plan: Plan) -> str:
    return "cards" if plan.device.kind == "cuda" else "processes"


def _processes(plan: Plan) -> str:
    from recommender.estimate.data_parallel import processes_of

    processes = processes_of(plan.config, plan.device)
    return "" if processes == 1 else f"{processes} {_each_of(plan)}, {plan.config.launch.kind}"


def _covers(plan: Plan) -> str:
    data, length = plan.data, plan.config.data.max_length
    if data is None or not data.trained_tokens:
        return ""
    return f"covers {percent(data.trained_at(length) / data.trained_tokens)}"


def _is_long(plan: Plan) -> bool:
    """Whether rows go beyond the model's own context, or its positions are stretched."""
    return plan.config.rope_scaling is not None or plan.config.data.max_length > plan.model.max_position_embeddings


def _reach(plan: Plan) -> str:
    rope, own = plan.config.rope_scaling, plan.model.max_position_embeddings
    return f"own context {count(own)}" if rope is None else f"{count(own)} → {count(int(own * rope.factor))}"


def _steps(plan: Plan) -> str:
    steps = steps_of(plan)
    return "" if steps is None else counted(steps, "step")


def _precision(plan: Plan) -> str:
    device = plan.device
    if device.kind == "cpu":
        return "bf16 native" if device.bf16 else "no bf16 here"
    if device.compute_capability is None:
        return ""
    return f"compute {version(device.compute_capability)}"


def _task(plan: Plan) -> str:
    return "sets r" if plan.config.method != "full" else ""


def _kept(plan: Plan) -> str:
    return f"keeps {plan.config.run.save_total_limit}"


def _trained_on(plan: Plan) -> str:
    data, length = plan.data, plan.config.data.max_length
    if data is None or not data.tokens_at(length):
        return ""
    return f"{percent(data.trained_at(length) / data.tokens_at(length))} of tokens"


def _held_out(plan: Plan) -> str:
    if plan.data is None or plan.config.data.eval is not None:
        return ""
    return counted(plan.data.held_out_by_split(plan.config.data.eval_fraction, plan.config.training.seed), "row")


def _has_experts(plan: Plan) -> bool:
    from recommender.model.experts import fused_weights

    return bool(fused_weights(plan.model))


def _experts(plan: Plan) -> str:
    from recommender.model.experts import adapts_experts, packs_experts

    held = (
        "4 bits" if packs_experts(plan.config) else "32 bits" if plan.config.training.precision == "fp32" else "16 bits"
    )
    return f"{held}, {'adapted' if adapts_experts(plan.config) else 'frozen'}"


def _packing(plan: Plan) -> str:
    from recommender.data.packing import packs

    if plan.config.data.packing != "auto":
        return ""
    return "on" if packs(plan.config) else f"off under {plan.config.training.attn_implementation}"


SETTINGS: tuple[Setting, ...] = (
    Setting("model", ("model",), note=_model),
    Setting("method", ("method",), note=_method),
    Setting("r / lora_alpha", ("lora.r", "lora.lora_alpha"), note=_trainable, adapter=True),
    Setting("target_modules", ("lora.target_modules",), note=_targets, adapter=True),
    Setting("learning_rate", ("training.learning_rate",), note=_sure),
    Setting("lr_scheduler / warmup", ("training.lr_scheduler_type", "training.warmup_steps"), note=_warmup),
    Setting(
        "batch × accumulation",
        ("training.per_device_train_batch_size", "training.gradient_accumulation_steps"),
        " × ",
        _batch,
    ),
    Setting("max_length", ("data.max_length",), note=_covers),
    Setting("rope_scaling", ("rope_scaling",), note=_reach, only=_is_long),
    Setting("packing", ("data.packing",), note=_packing),
    Setting("epochs", ("training.num_train_epochs",), note=_steps),
    Setting("precision", ("training.precision",), note=_precision),
    Setting("gradient_checkpointing", ("training.gradient_checkpointing",)),
    Setting("attention", ("training.attn_implementation",)),
    Setting("optim", ("training.optim",)),
    Setting("eval / save every", ("run.eval_steps", "run.save_steps"), note=_kept),
    Setting("template · trained on", ("data.template", "data.train_on"), " · ", _trained_on),
    Setting("rows teach a", ("data.task",), note=_task),
)
"""Settings that people look at first."""

ADVANCED: tuple[Setting, ...] = (
    Setting("bits", ("quantization.bits",)),
    Setting("quant_type / double", ("quantization.quant_type", "quantization.double_quant")),
    Setting("experts held / adapted", ("quantization.experts", "lora.experts"), note=_experts, only=_has_experts),
    Setting("lora_dropout", ("lora.lora_dropout",), adapter=True),
    Setting("use_rslora / use_dora", ("lora.use_rslora", "lora.use_dora"), adapter=True),
    Setting("init_lora_weights", ("lora.init_lora_weights",), adapter=True),
    Setting("bias", ("lora.bias",), adapter=True),
    Setting("modules_to_save", ("lora.modules_to_save",), adapter=True),
    Setting("start_from", ("start_from",), adapter=True),
    Setting("weight_decay", ("training.weight_decay",)),
    Setting("max_grad_norm", ("training.max_grad_norm",)),
    Setting("loraplus_lr_ratio", ("training.loraplus_lr_ratio",), adapter=True),
    Setting("rank_pattern", ("lora.rank_pattern",), adapter=True),
    Setting("answers / reasoning", ("data.answers", "data.reasoning")),
    Setting("chat_template_kwargs", ("data.chat_template_kwargs",)),
    Setting("tf32", ("training.tf32",)),
    Setting("max_steps", ("training.max_steps",)),
    Setting("eval_fraction", ("data.eval_fraction",), note=_held_out),
    Setting("activation_offloading", ("training.activation_offloading",)),
    Setting("processes · strategy", ("launch.processes", "launch.strategy"), " · ", _processes),
    Setting("logging / kept", ("run.logging_steps", "run.save_total_limit")),
    Setting("seed", ("training.seed",)),
    Setting("name", ("run.name",)),
    Setting("on_end", ("run.on_end",)),
    Setting("on_nonfinite", ("run.on_nonfinite",)),
    Setting("early_stopping", ("run.early_stopping",)),
)
"""Settings rarely changed, where a row has a label, a note or a condition of its own; folded until asked for."""

NOT_ON_FORM = frozenset(
    {
        "revision", "trust_remote_code", "rope_scaling.rope_type", "rope_scaling.factor", "data.train", "data.eval",
        "data.format", "data.columns", "data.allow_cut_rows", "data.skip_bad_rows", "lora.alpha_pattern",
        "run.report_to", "launch.gpus", "launch.nodes", "launch.offload",
    }
)  # fmt: skip
"""Keys that the other screens ask about, or that only a file sets."""

ADVANCED_KEY = "advanced"


@cache
def advanced_settings() -> tuple[Setting, ...]:
    """All folded rows: a key of the configuration that no row names and `NOT_ON_FORM` does not gets one of its own."""
    from recommender.config.keys import fields

    named = {key for setting in (*SETTINGS, *ADVANCED) for key in setting.keys} | NOT_ON_FORM
    return (*ADVANCED, *(Setting(key.rpartition(".")[2], (key,)) for key in fields() if key not in named))


def shown_settings(plan: Plan, *, advanced: bool) -> list[Setting]:
    """The rows that mean something for this plan."""
    rows = [*SETTINGS, *(advanced_settings() if advanced else ())]
    others = keys_of_others(stage_of(plan.config))
    return [
        row
        for row in rows
        if row.only(plan) and (plan.config.method != "full" or not row.adapter) and not others.issuperset(row.keys)
    ]


def followed_notes(plan: Plan, moved: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """The note of each row whose value has followed an edit, by the row's label."""
    from recommender.config.edit import value_of

    notes = {}
    for setting in (*shown_settings(plan, advanced=False), *shown_settings(plan, advanced=True)):
        if any(key in moved for key in setting.keys):
            old = (
                moved[key][0] if key in moved else value_text(key, value_of(plan.config, key)) for key in setting.keys
            )
            notes[setting.label] = f"← was {setting.joint.join(old)}"
    return notes
