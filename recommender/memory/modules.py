"""Modules that a LoRA configuration names beside its targets: each must be one of the model's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig, Lora
from recommender.model.spec import ModelSpec

_OUTSIDE_LAYERS = ("lm_head", "embed_tokens")


def refuse_unknown_modules(config: FinetuneConfig, model: ModelSpec) -> None:
    """Refuse `lora.modules_to_save`, `rank_pattern` and `alpha_pattern` that mean nothing in this model.

    PEFT passes over a pattern that matches no module without a word. Of patterns only plain names are looked at, by
    their last part: a regular expression may match any module.

    Raises:
        InputError: The key, the name, and the nearest module or all of them.
    """
    if config.method == "full" or not model.linears:
        return
    layers = tuple(dict.fromkeys(linear.name for linear in model.linears))
    for key, name, leaf, known in _named(config.lora, (*layers, *_OUTSIDE_LAYERS)):
        if leaf not in known:
            near = get_close_matches(leaf, known, n=1, cutoff=0.6)
            raise InputError(
                f"lora.{key}: {model.name} has no module called '{name}'.",
                remedy=f"Did you mean {near[0]}?" if near else f"It has {', '.join(known)}.",
            )


def _named(lora: Lora, known: tuple[str, ...]) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Key, name, the part of it that is compared, and what it may be."""
    for name in lora.modules_to_save:
        yield "modules_to_save", name, name, (*known, "norm")
    for key, pattern in (("rank_pattern", lora.rank_pattern), ("alpha_pattern", lora.alpha_pattern)):
        for name in _plain(pattern):
            yield key, name, name.rpartition(".")[2], known


def _plain(pattern: Iterable[str]) -> Iterator[str]:
    return (name for name in pattern if all(part.isidentifier() or part.isdigit() for part in name.split(".")))
