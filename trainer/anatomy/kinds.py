"""Kinds of layer: what mixes the tokens, what follows it, and which layers are built alike."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import nn

from recommender.model.anatomy import LayerKind
from trainer.anatomy.parts import LINEAR, Parts, has_state_space

_BY_CLASS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(Mamba\w*(Mixer|Layer)|Mamba2?|SSM)$"), "mamba"),
    (re.compile(r"(ShortConv|ConvMixer|ConvBlock)$"), "conv"),
    (re.compile(r"(RecurrentBlock|RwkvSelfAttention|[xm]LSTM\w*(Layer|Cell))$"), "recurrent"),
    (re.compile(r"(DeltaNet|DeltaAttention|LinearAttention|LightningAttention|KDA)$"), "linear_attention"),
    (re.compile(r"(Attention|Attn|MLA)$"), "full_attention"),
)
"""End of a class's name to what it mixes tokens with; the first that fits."""
_WITH_FALLBACK = re.compile(r"@use_kernel_func_from_hub_with_fallback\(\s*\"\w+\",\s*\"(\w+)\"[^)]*\)\s*def (\w+)")
"""How a modeling file of Transformers 5 names the package that a function of it comes from, where that is installed."""
_DISTRIBUTIONS = {"fla": "flash-linear-attention", "causal_conv1d": "causal-conv1d", "mamba_ssm": "mamba-ssm"}
_DENSE, _MIXTURE, _NONE = "dense", "mixture", "none"
_PLACE = re.compile(r"idx|index|layer_id|layer_num|depth|lambda_init|seed")
"""Attributes that say where a layer stands, and nothing of how it is built."""


@dataclass(frozen=True)
class Kinds:
    """Kinds of layer, the kind of each layer, and the packages of each mixer's fast path."""

    kinds: tuple[LayerKind, ...]
    sequence: tuple[int, ...]
    kernels: Mapping[str, tuple[str, ...]]


def kinds_of(parts: Parts, config: Any) -> Kinds:
    """Sort the layers of a text part into kinds: alike in what they are made of and in how they attend.

    Args:
        parts: The text part's layers.
        config: Its configuration, whose `layer_types` say what slides.
    """
    declared = _declared(config, len(parts.layers))
    found: dict[Any, int] = {}
    about: list[tuple[str, str]] = []
    sequence: list[int] = []
    packages: dict[str, set[str]] = {}
    for index, (_, layer) in enumerate(parts.layers):
        mixers, mlp = _mixers(layer, declared[index], packages), _mlp(layer)
        mark = (mixers, mlp, signature(layer))
        if mark not in found:
            found[mark] = len(found)
            about.append((mixers, mlp))
        sequence.append(found[mark])
    kinds = tuple(
        LayerKind(name, mixer, mlp, sequence.count(place))
        for place, (name, (mixer, mlp)) in enumerate(zip(_names(about), about, strict=True))
    )
    return Kinds(kinds, tuple(sequence), {mixer: tuple(sorted(names)) for mixer, names in packages.items() if names})


def mixer_linears(parts: Parts) -> tuple[str, ...]:
    """Leaf names of linear layers that stand inside of what mixes tokens, and nowhere else in the layers."""
    inside: dict[str, None] = {}
    elsewhere: set[str] = set()
    for _, layer in parts.layers:
        mixing = tuple(f"{name}." if name else "" for name, _ in _outermost(layer))
        for name, module in layer.named_modules():
            if isinstance(module, LINEAR):
                leaf = name.rpartition(".")[2]
                if mixing and name.startswith(mixing):
                    inside[leaf] = None
                else:
                    elsewhere.add(leaf)
    return tuple(leaf for leaf in inside if leaf not in elsewhere)


def signature(layer: nn.Module) -> tuple[Any, ...]:
    """What two layers that are built alike have in common: classes, shapes, switches; not their place."""
    own = [(name, tuple(parameter.shape)) for name, parameter in layer.named_parameters(remove_duplicate=False)]
    classes = [(name, type(module).__name__, _switches(module)) for name, module in layer.named_modules()]
    return tuple(own), tuple(classes)


def _switches(module: nn.Module) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (name, value)
        for name, value in sorted(vars(module).items())
        if isinstance(value, bool | int | str | None)
        and not name.startswith("_")
        and name != "training"
        and not _PLACE.search(name)
    )


def _declared(config: Any, layers: int) -> tuple[str, ...]:
    """What the configuration says of each layer; empty texts where it says nothing that fits."""
    kinds = getattr(config, "layer_types", None)
    if isinstance(kinds, Sequence) and len(kinds) == layers:
        return tuple(str(kind) for kind in kinds)
    return ("",) * layers


def _mixers(layer: nn.Module, declared: str, packages: dict[str, set[str]]) -> str:
    """What mixes the tokens in a layer, joined by '+' where there are several; 'none' where nothing does."""
    found: dict[str, None] = {}
    for name, module in _outermost(layer):
        mixer = _mixer_of(name, module)
        if mixer == "full_attention" or (mixer == "linear_attention" and declared == "full_attention"):
            mixer = _attends(module, declared)
        found[mixer] = None
        packages.setdefault(mixer, set()).update(_packages_of(_class_of(module)))
    return "+".join(found) or _NONE


def _outermost(layer: nn.Module) -> list[tuple[str, nn.Module]]:
    """Modules of a layer that mix tokens, without what stands inside of them."""
    found: list[tuple[str, nn.Module]] = []
    inside: tuple[str, ...] = ()
    for name, module in layer.named_modules():
        if not name.startswith(inside or ("\0",)) and _mixer_of(name, module) and _works(module):
            found.append((name, module))
            inside = (*inside, f"{name}." if name else "")
    return found


def _mixer_of(name: str, module: nn.Module) -> str:
    kind = type(module).__name__
    if has_state_space(module):
        return "mamba"
    if name.rpartition(".")[2] in {"encoder_attn", "crossattention"}:
        return ""
    if kind.endswith("Layer") and any(_mixer_of(inner, child) for inner, child in module.named_children()):
        return ""
    return next((mixer for pattern, mixer in _BY_CLASS if pattern.search(kind)), "")


def _works(module: nn.Module) -> bool:
    """Whether a module has weights: a wrapper of a kernel has none."""
    return next(module.parameters(), None) is not None


def _attends(attention: nn.Module, declared: str) -> str:
    """Return full, sliding or chunked attention, or what the configuration calls it."""
    if declared in {"", "attention", "linear_attention", "hybrid", "conv", "mamba", "moe", "full_attention"}:
        if any(getattr(module, "attention_type", None) == "local" for module in attention.modules()):
            return "sliding_attention"
        window = getattr(attention, "sliding_window", None)
        slides = isinstance(window, int) and window > 0 and declared != "full_attention"
        return "sliding_attention" if slides else "full_attention"
    return "sliding_attention" if declared == "hybrid_sliding" else declared


def _mlp(layer: nn.Module) -> str:
    if any(_is_mixture(name, module) for name, module in layer.named_modules()):
        return _MIXTURE
    mixing = tuple(f"{name}." if name else "" for name, _ in _outermost(layer))
    rest = [
        name
        for name, module in layer.named_modules()
        if isinstance(module, LINEAR) and not f"{name}.".startswith(mixing)
    ]
    return _DENSE if rest else _NONE


def _is_mixture(name: str, module: nn.Module) -> bool:
    kind = type(module).__name__
    if "Shared" in kind:
        return False
    return bool(re.search(r"Experts?$|Experts?\b|SparseMoe|TopKRouter|MoE\b", kind)) or name.endswith(".experts")


def _names(about: Sequence[tuple[str, str]]) -> list[str]:
    names: list[str] = []
    for mixer, mlp in about:
        base = mixer if mlp == _NONE else (mlp if mixer == _NONE else f"{mixer}+{mlp}")
        same = sum(1 for name in names if name == base or name.startswith(f"{base}-"))
        names.append(f"{base}-{same + 1}" if same else base)
    return names


def _class_of(module: nn.Module) -> Any:
    return type(module)


@cache
def _packages_of(kind: type[Any]) -> frozenset[str]:
    """Packages that a mixer's fast path comes from, as its file and its source name them."""
    try:
        source, file = inspect.getsource(kind), inspect.getsource(inspect.getmodule(kind) or kind)
    except (OSError, TypeError):
        return frozenset()
    offered = {function: package for package, function in _WITH_FALLBACK.findall(file)}
    used = (package for function, package in offered.items() if re.search(rf"\b{function}\b", source))
    return frozenset(_DISTRIBUTIONS.get(package, package) for package in used)
