"""The configuration's keys as dotted names, derived from the schema so that they cannot drift from it."""

from __future__ import annotations

import types
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from recommender.config.schema import FinetuneConfig
from recommender.config.section import Section

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

OLD_NAMES = {"training.warmup_ratio": "training.warmup_steps"}
"""New names of renamed keys, by their old names."""

ELSEWHERE = {
    "lr": "training.learning_rate",
    "rank": "lora.r",
    "lora_rank": "lora.r",
    "lora_r": "lora.r",
    "alpha": "lora.lora_alpha",
    "dropout": "lora.lora_dropout",
    "lora_target": "lora.target_modules",
    "epochs": "training.num_train_epochs",
    "num_epochs": "training.num_train_epochs",
    "batch": "training.per_device_train_batch_size",
    "batch_size": "training.per_device_train_batch_size",
    "micro_batch_size": "training.per_device_train_batch_size",
    "grad_accum": "training.gradient_accumulation_steps",
    "cutoff_len": "data.max_length",
    "max_seq_length": "data.max_length",
    "val_size": "data.eval_fraction",
    "dev_size": "data.eval_fraction",
    "load_in_4bit": "quantization.bits",
    "quantization_bit": "quantization.bits",
    "finetuning_type": "method",
    "model_name_or_path": "model",
    "dataset": "data.train",
    "bf16": "training.precision",
    "fp16": "training.precision",
    "random_state": "training.seed",
    "use_gradient_checkpointing": "training.gradient_checkpointing",
}
"""Our keys by their names in other tools (LLaMA-Factory, Unsloth, axolotl): offered as the nearest, not accepted."""


@cache
def fields() -> dict[str, FieldInfo]:
    """Return every key that holds a value ('lora.r'), and 'rope_scaling' with its own keys, in the schema's order."""
    return dict(_walk(FinetuneConfig, ""))


@cache
def sections() -> tuple[str, ...]:
    """Names of the sections: 'quantization', 'lora', 'data' and so on."""
    return tuple(name for name, field in FinetuneConfig.model_fields.items() if section_of(field.annotation))


def section_of(annotation: Any) -> type[Section] | None:
    """The section class that a field holds (also when it may be null instead), None for a plain value."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return next((option for option in options if isinstance(option, type) and issubclass(option, Section)), None)


def _walk(model: type[Section], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = section_of(field.annotation)
        # A section that may be null is a value too: `rope_scaling: null`.
        if inner is None or (not field.is_required() and field.default is None):
            yield prefix + name, field
        if inner is not None:
            yield from _walk(inner, f"{prefix}{name}.")


def full_name(key: str) -> str | None:
    """The dotted key that a person means by a full or a short name; None when there is no single one.

    `learning_rate` is `training.learning_rate`. Keys inside a mapping (`data.columns.output`) are kept as they are.
    """
    key = OLD_NAMES.get(key, key)
    if key in fields() or _mapping_parent(key):
        return key
    matches = [name for name in (*fields(), *OLD_NAMES) if name.rpartition(".")[2] == key]
    return OLD_NAMES.get(matches[0], matches[0]) if len(matches) == 1 else None


def _mapping_parent(key: str) -> str | None:
    parent = key.rpartition(".")[0]
    field = fields().get(parent)
    return parent if field is not None and get_origin(field.annotation) is dict else None


def nearest(key: str, within: str = "") -> str | None:
    """The valid key most like this one, and not itself: by its whole name, else by its last part in any section.

    Args:
        key: What the person wrote, dotted or short.
        within: A section that the key was written in; its keys are looked at first.
    """
    leaf = key.rpartition(".")[2]
    if leaf in ELSEWHERE:
        return ELSEWHERE[leaf]
    names = [*fields()] if "." in key else [*fields(), *sections()]
    inside = {name.rpartition(".")[2]: name for name in names if within and name.startswith(f"{within}.")}
    by_leaf = {name.rpartition(".")[2]: name for name in names}
    for candidates, wanted in ((inside, leaf), ({name: name for name in names}, key), (by_leaf, leaf)):
        for found in get_close_matches(wanted, candidates, n=2, cutoff=0.6):
            if candidates[found] != key:
                return candidates[found]
    return None
