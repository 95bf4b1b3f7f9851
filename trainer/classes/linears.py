"""The linear layers of a class that an adapter may stand on, and those that are left out, each with the reason."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import torch
from peft import LoraConfig
from peft.tuners import tuners_utils
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from torch import nn
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.quantizers.quantizers_utils import should_convert_module

from trainer.classes.build import LeftOut, other_parts, text_prefix

ROUTER: Final = "it is a router: it stays in its precision and is not adapted"
BYPASSED: Final = "its class reads the weight past the layer, so that an adapter on it would learn nothing"
OTHER_FORM: Final = "its class computes something else with the weight than a linear layer does"
REFUSED: Final = "PEFT refuses it for this type of model"
EXPERTS: Final = "PEFT takes its name for the routed experts', and would adapt those in its place"
UNREACHED: Final = "the loss of a text does not pass through it, so that an adapter on it would learn nothing"
OUTSIDE: Final = "it stands outside the layers"
OTHER_TOWER: Final = "it is not in the text part"
_EXPERT_COUNTS: Final = re.compile(r"^(moe_)?(num|n)_(local_|routed_)?experts$")
LOW_RANK: Final = (".lora_A.weight", ".lora_embedding_A")
"""Suffixes of the names of an adapter's first factors, on linear layers and on embeddings."""
_NUMBERED: Final = re.compile(r"\.\d+\.")
_UNREACHED_NAME: Final = re.compile(r"encoder_attn|crossattention|cross_attn|pooler|indexer", re.IGNORECASE)
"""Modules that wait for an encoder's states, of a whole text's vector, or that choose tokens without a derivative."""
_ROUTER_NAME: Final = re.compile(r"router|gate$|classifier$|topk|gating", re.IGNORECASE)


@dataclass(frozen=True)
class Linears:
    """Names of a model's linear layers, the head aside.

    Attributes:
        adapted: Those that `all-linear` means, as `named_modules` calls them.
        left_out: Those that are not adapted, with the reason.
        kept: Those of them that are not quantised either.
    """

    adapted: tuple[str, ...]
    left_out: Mapping[str, str]
    kept: frozenset[str]


def linears_of(model: Any) -> Linears:
    """Sort the linear layers of a model, on meta or loaded, quantised or not.

    Args:
        model: A Transformers model without an adapter.
    """
    head, prefix, others = model.get_output_embeddings(), text_prefix(model), other_parts(model)
    counts, refused = _expert_counts(model.config.get_text_config()), _refused_by_peft(model)
    adapted, left_out, kept = [], {}, set()
    for name, layer in model.named_modules():
        if layer is head or not isinstance(layer, nn.Linear | Conv1D):
            continue
        owner = model.get_submodule(name.rpartition(".")[0])
        reason = "" if _inside(name, prefix) and not any(_inside(name, x) for x in others) else OTHER_TOWER
        reason = reason or _unlike_linear(layer, owner, name, counts)
        if reason:
            kept.add(name)
        reason = reason or refused.get(name.rpartition(".")[2], "")
        reason = reason or (UNREACHED if _unreached(model, name) else "")
        reason = reason or ("" if _NUMBERED.search(name) else OUTSIDE)
        if reason:
            left_out[name] = reason
        else:
            adapted.append(name)
    return Linears(tuple(adapted), left_out, frozenset(kept))


def _inside(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(f"{prefix}.")


def _unlike_linear(layer: nn.Module, owner: nn.Module, name: str, counts: frozenset[int]) -> str:
    """Return why the layer can be neither adapted nor quantised; empty where it can."""
    leaf = name.rpartition(".")[2]
    out = getattr(layer, "out_features", None) or getattr(layer, "nf", None)
    gate = any(_ROUTER_NAME.search(word) for word in (leaf, type(owner).__name__, type(layer).__name__))
    if gate and counts and (out == 1 or out in counts):
        return ROUTER
    if type(layer).forward not in (nn.Linear.forward, Conv1D.forward) and not _gives_linear_shape(layer):
        return OTHER_FORM
    kind: Any = type(owner)
    return BYPASSED if _bypassed(kind, leaf) else ""


def _unreached(model: Any, name: str) -> bool:
    """Whether a text's loss has no derivative by the layer, by the names of the modules around it and their classes."""
    parts = name.split(".")
    around = (".".join(parts[:depth]) for depth in range(1, len(parts)))
    return any(_UNREACHED_NAME.search(type(model.get_submodule(path)).__name__) for path in around) or bool(
        _UNREACHED_NAME.search(name)
    )


def _expert_counts(config: Any) -> frozenset[int]:
    """Return the counts of experts that a configuration names, whatever its keys are called."""
    found = {value for key, value in config.to_dict().items() if _EXPERT_COUNTS.match(key) and isinstance(value, int)}
    altup = getattr(config, "altup_num_inputs", None)
    return frozenset(found | ({altup} if isinstance(altup, int) else set())) - {0, 1}


def _gives_linear_shape(layer: nn.Module) -> bool:
    """Whether a subclass of nn.Linear maps (batch, length, in) to (batch, length, out) as its base does.

    Asked of the layer itself where it is on meta, else of a small one of its class. What bitsandbytes puts in a linear
    layer's place, and its stand-ins, do.
    """
    if not type(layer).__module__.startswith(("transformers.", "transformers_modules.")):
        return True
    with suppress(Exception), torch.no_grad(), torch.device("meta"):
        asked: Any = layer if next(layer.parameters()).is_meta else type(layer)(8, 4, bias=False)
        out = asked(torch.empty(1, 2, asked.in_features, dtype=asked.weight.dtype))
        return isinstance(out, torch.Tensor) and tuple(out.shape) == (1, 2, asked.out_features)
    return False


@cache
def _bypassed(owner: Any, leaf: str) -> bool:
    """Whether a method of the owner's class hands the layer's weight on as a tensor, past the layer's forward.

    Mamba's fused kernels do (`out_proj`, `x_proj`, `dt_proj`), and then no adapter on the layer has a gradient. Slices
    of the weight (BLOOM's emulation of tensor parallelism, off by default) do not count.
    """
    pattern = re.compile(rf"self\.{re.escape(leaf)}\.weight(?!\.(?:dtype|device|shape|size)|\[)\b")
    return any(pattern.search(source) for source in _sources(owner))


def _sources(owner: type) -> Iterator[str]:
    for kind in owner.__mro__:
        if not kind.__module__.startswith(("transformers.", "transformers_modules")):
            continue
        for name, value in vars(kind).items():
            if inspect.isfunction(value) and not name.startswith(("__init__", "_init", "init_")):
                with suppress(OSError, TypeError):
                    yield inspect.getsource(value)


def _refused_by_peft(model: Any) -> dict[str, str]:
    """Return the leaf names that PEFT does not adapt in this model, by asking PEFT itself."""
    leaves = {name.rpartition(".")[2] for name, x in model.named_modules() if isinstance(x, nn.Linear | Conv1D)}
    found = {}
    check = getattr(tuners_utils, "_check_lora_target_modules_mamba", None)
    for leaf in sorted(leaves):
        config = LoraConfig(target_modules=[leaf])
        try:
            if check is not None:
                check(config, model, leaf)
        except ValueError:
            found[leaf] = REFUSED
            continue
        if kept_by_peft(model, [leaf]) != {leaf}:
            found[leaf] = EXPERTS
    return found


def kept_by_peft(model: Any, targets: Iterable[str] | str) -> set[str] | str:
    """Return PEFT's target modules for these of ours: for mixtures it renames some to fused parameters (PEFT 0.21)."""
    config = LoraConfig(target_modules=targets if isinstance(targets, str) else list(targets))
    try:
        convert_peft_config_for_transformers(config, model=model, conversions=None)
    except ValueError:
        return set()
    kept: set[str] | str = config.target_modules
    return kept


def quantised_of(model: Any, linears: Linears) -> frozenset[str]:
    """Return the names of the layers that bitsandbytes replaces, as `load_model` asks it to (Transformers 5.23).

    Args:
        model: Not quantised yet; on meta is enough.
        linears: Of it.
    """
    skipped = skipped_by_bitsandbytes(model, linears) + list(getattr(model, "_keep_in_fp32_modules", None) or ())
    return frozenset(
        name
        for name, layer in model.named_modules()
        if (type(layer) is nn.Linear or isinstance(layer, Conv1D)) and should_convert_module(name, skipped)
    )


def skipped_by_bitsandbytes(model: Any, linears: Linears) -> list[str]:
    """Return `llm_int8_skip_modules`: Transformers' own choice (the head, what is tied), and what is kept as it is."""
    kept = {re.sub(r"(?<=\.)\d+(?=\.)", r"\\d+", name) for name in linears.kept}
    return sorted({*get_keys_to_not_convert(model), *kept})


def left_out_names(model: Any) -> frozenset[str]:
    """Names of the places where a tower is left out."""
    return frozenset(name for name, x in model.named_modules() if isinstance(x, LeftOut))
