"""Modules that a LoRA configuration names, checked against the model's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig, Lora
from recommender.model.spec import Linear, ModelSpec

_OUTSIDE_LAYERS = ("lm_head", "embed_tokens")
_FLAGS = re.compile(r"\(\?([aimsux]+)\)(.*)", re.DOTALL)
"""Flags of a whole expression, and what they are of."""


def refuse_unknown_modules(config: FinetuneConfig, model: ModelSpec) -> None:
    """Refuse modules of `lora` (targets, `modules_to_save`, rank and alpha patterns) that the model does not have.

    An adapter goes on the linear layers inside the decoder layers, which are named without what stands before them:
    nothing else is priced. TRL 1.16 refuses an adapter of the head, once the model is loaded (`SFTTrainer.__init__`).
    Of patterns only plain names are looked at, by their last part: a regular expression may match any module.

    Raises:
        InputError: The key, the name, and what to write instead.
    """
    if config.method == "full" or not model.linears:
        return
    layers = tuple(dict.fromkeys(linear.name for linear in model.linears))
    _refuse_targets(config.lora.target_modules, layers, model)
    saved = (*layers, *_OUTSIDE_LAYERS, "norm")
    for name in config.lora.modules_to_save:
        if name not in saved:
            raise _no_module("modules_to_save", name, name, saved, model)
    for key, name in _patterns(config.lora):
        leaf = name.rpartition(".")[2]
        if _is_plain(name) and leaf not in saved:
            raise _no_module(key, name, leaf, layers, model)
        _refuse_no_expression(key, name)


def refuse_idle_patterns(config: FinetuneConfig, model: ModelSpec) -> None:
    """Refuse a pattern that names a layer without an adapter: PEFT would ignore it silently.

    Raises:
        InputError: The key, the name, and the layers that get an adapter.
    """
    if config.method == "full" or not model.linears:
        return
    adapted = tuple(dict.fromkeys(linear.name for linear in adapted_layers(config, model)))
    for key, name in _patterns(config.lora):
        if _is_plain(name) and name.rpartition(".")[2] not in adapted:
            raise InputError(
                f"lora.{key}: '{name}' gets no adapter, so it would change nothing.",
                remedy=f"Adapters are on {', '.join(adapted)}.",
            )


def adapted_layers(config: FinetuneConfig, model: ModelSpec) -> tuple[Linear, ...]:
    """The linear layers that get an adapter."""
    wanted = config.lora.target_modules
    return tuple(linear for linear in model.linears if wanted == "all-linear" or linear.name in wanted)


def rank_of(lora: Lora, name: str) -> int:
    """The rank of a layer's adapter, by its leaf name."""
    return next((rank for key, rank in lora.rank_pattern.items() if _matches(key, name)), lora.r)


def unseen_patterns(config: FinetuneConfig, model: ModelSpec) -> tuple[tuple[str, str], ...]:
    """Patterns, with their key, that match no adapted layer by its name: paths of modules and regular expressions.

    Whether a module's path matches is known once the model is loaded; `rank_of` passes over them.
    """
    if config.method == "full":
        return ()
    names = {linear.name for linear in adapted_layers(config, model)}
    return tuple(
        (key, pattern) for key, pattern in _patterns(config.lora) if not any(_matches(pattern, name) for name in names)
    )


def _matches(pattern: str, name: str) -> bool:
    """Whether a layer, by its leaf name, is one of a pattern's."""
    return _expression(pattern).fullmatch(name) is not None


def _expression(pattern: str) -> re.Pattern[str]:
    """The regular expression that PEFT makes of a pattern: it may follow a module's path (`get_pattern_key`).

    Raises:
        re.error: It is none.
        OverflowError: It repeats more often than can be counted.
        RecursionError: Its groups stand too deep in each other.
    """
    return re.compile(rf"(.*\.)?({pattern})")


def _patterns(lora: Lora) -> Iterator[tuple[str, str]]:
    yield from (("rank_pattern", name) for name in lora.rank_pattern)
    yield from (("alpha_pattern", name) for name in lora.alpha_pattern)


def _refuse_targets(targets: str | list[str], layers: tuple[str, ...], model: ModelSpec) -> None:
    if targets == "all-linear":
        return
    if not targets:
        raise InputError("lora.target_modules is empty.", remedy="Set it to all-linear, or name layers.")
    for name in targets:
        leaf = name.rpartition(".")[2]
        if name in layers:
            continue
        if leaf in _OUTSIDE_LAYERS:
            raise InputError(
                f"lora.target_modules: {leaf} stands outside the layers, where no adapter is trained.",
                remedy=f"Train it in full instead: lora.modules_to_save=[{leaf}], and leave it out of target_modules.",
            )
        if leaf in layers:
            raise InputError(
                f"lora.target_modules: '{name}' would be {leaf} of some layers, and an adapter of single layers is not "
                "supported here: names are without what stands before them.",
                remedy=f"Write {leaf}: it is adapted in every layer.",
            )
        if why := _why_kept(leaf, model):
            raise InputError(
                f"lora.target_modules: {leaf} of {model.architecture} can have no adapter: {why}.",
                remedy="Leave it out of lora.target_modules, or set that to all-linear.",
            )
        near = get_close_matches(name, layers, n=1, cutoff=0.4)
        raise InputError(
            f"lora.target_modules: {model.name} has no layer called '{name}'.",
            remedy=f"Did you mean {near[0]}?" if near else f"It has {', '.join(layers)}.",
        )


def _why_kept(leaf: str, model: ModelSpec) -> str:
    """The reason why linear layers of that name get no adapter; empty where the class has none of it."""
    kept = model.anatomy.kept_linears if model.anatomy else ()
    return next((linear.reason for linear in kept if linear.name == leaf), "")


def _refuse_no_expression(key: str, pattern: str) -> None:
    try:
        _expression(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        # Without the place that `str(error)` names: it counts in what stands around the pattern too.
        why = error.msg if isinstance(error, re.error) else str(error)
        flags = _FLAGS.match(pattern)
        raise InputError(
            f"lora.{key}: '{pattern}' is neither a layer's name nor a regular expression for the end of a module's "
            f"path: {why}.",
            remedy=f"Write (?{flags[1]}:{flags[2]}): flags hold within a group."
            if flags and flags[2]
            else "Write a layer's name, such as q_proj.",
        ) from None


def _no_module(key: str, name: str, leaf: str, known: Iterable[str], model: ModelSpec) -> InputError:
    names = tuple(known)
    near = get_close_matches(leaf, names, n=1, cutoff=0.6)
    return InputError(
        f"lora.{key}: {model.name} has no module called '{name}'.",
        remedy=f"Did you mean {near[0]}?" if near else f"It has {', '.join(names)}.",
    )


def _is_plain(name: str) -> bool:
    return all(part.isidentifier() or part.isdigit() for part in name.split("."))
