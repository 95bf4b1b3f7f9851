"""Models whose class is Python code beside their weights: their facts, without running any of it.

Transformers runs such code where `trust_remote_code` is true (its `dynamic_module_utils`); it comes from whoever made
the model and runs as the person, with their files and keys. Planning never runs it: a model whose configuration and
weights are laid out as Llama's is priced as one, any other cannot be priced. Training it needs the person's yes, for
this one model, in the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from presets.errors import InputError
from recommender.model.spec import ModelSpec

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.model.sources.headers import Weights

_REFERENCE: Final = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*", re.ASCII)
"""MODULE.CLASS, as `get_class_from_dynamic_module` takes it apart."""
_FEW: Final = 0.01
"""Parameters that may be in the files beyond what a Llama of these sizes has: norms of heads, scales."""
_IN_LAYERS: Final = re.compile(r"layers\.\d+\..*?(\w+)\.weight$")


def code_files(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The Python files that a config.json's `auto_map` names, each in the model's own folder.

    Raises:
        InputError: It names code of another repository, or what is no module and class.
    """
    found = set()
    for reference in _references(config.get("auto_map")):
        if "--" in reference:
            raise InputError(
                f"its code lies in another repository ({reference.split('--')[0]}).",
                remedy="Take the model from there.",
            )
        if not _REFERENCE.fullmatch(reference):
            raise InputError(f"auto_map names {reference!r}, which is no module and class.")
        found.add(reference.partition(".")[0] + ".py")
    return tuple(sorted(found))


def _references(value: object) -> Iterator[str]:
    """Every text in an `auto_map`; a tokenizer's entry is a list of two, either of which may be null."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _references(each)


def checked_by_weights(spec: ModelSpec, weights: Weights) -> ModelSpec:
    """Check a model with code of its own against the names and shapes of its weights.

    Returns the spec priced as a Llama where they match, else with `unsupported` set.

    Args:
        spec: From its configuration, as a Llama.
        weights: The headers of its files.
    """
    stored: dict[str, list[tuple[int, ...]]] = {}
    for name, shape in weights.shapes.items():
        if len(shape) > 1 and (found := _IN_LAYERS.search(name)):
            stored.setdefault(found.group(1), []).append(shape)
    expected = {each.name: [(each.out_features, each.in_features)] * each.count for each in spec.linears}
    counted = weights.parameters(tied=spec.tied)
    if stored != expected or not 0 <= counted - _least(spec) <= _FEW * counted:
        odd = sorted(stored.keys() ^ expected.keys())
        what = f"{odd[0]} is" if odd else "their sizes are"
        return replace(
            spec, linears=(), total_parameters=counted, parameters_exact=True, unsupported=unlike(spec, what)
        )
    biased = {name.removesuffix(".bias").rpartition(".")[2] for name in weights.shapes if name.endswith(".bias")}
    linears = tuple(replace(each, bias=each.name in biased) for each in spec.linears)
    spec = replace(spec, linears=linears)
    rest = spec.embedding_parameters + spec.head_parameters + spec.linear_parameters + spec.norm_parameters
    return replace(spec, total_parameters=counted, other_parameters=counted - rest, parameters_exact=True)


def checked_by_count(spec: ModelSpec, counted: int | None) -> ModelSpec:
    """As `checked_by_weights` where at most the number of parameters is known: compared with a Llama of these sizes."""
    if not spec.own_code or not spec.linears:
        return spec
    if counted is None:
        why = (
            f"{spec.architecture} is built by Python code of its own, and without its weights nothing says what its "
            "layers are: download the model, or choose one whose architecture Transformers has."
        )
        return replace(spec, linears=(), unsupported=why)
    if not 0 <= counted - _least(spec) <= _FEW * counted:
        return replace(spec, linears=(), total_parameters=counted, unsupported=unlike(spec, "their sizes are"))
    return spec


def unlike(spec: ModelSpec, what: str) -> str:
    """The reason why a model with code of its own cannot be priced."""
    return (
        f"{spec.architecture} is built by Python code of its own, and its layers are not laid out as Llama's ({what} "
        "not), so its memory cannot be priced: choose a model whose architecture Transformers has."
    )


def _least(spec: ModelSpec) -> int:
    """Parameters without biases."""
    plain = sum(each.count * each.in_features * each.out_features for each in spec.linears)
    return spec.embedding_parameters + spec.head_parameters + plain + spec.norm_parameters


def agreed(config: FinetuneConfig, spec: ModelSpec) -> bool:
    """Whether this model's own code may run: only where it needs any, and the configuration names it.

    Raises:
        InputError: It needs its code, and nobody has agreed.
    """
    if not spec.own_code:
        return False
    if config.trust_remote_code is None:
        message, remedy = question(spec, config.model)
        raise InputError(message, remedy=remedy)
    return True


def question(spec: ModelSpec, name: str) -> tuple[str, str]:
    """Message and remedy for a person who has not agreed yet to run the model's own code."""
    where = f" in {spec.path}" if spec.path else ""
    return (
        f"{spec.name} is built by Python code of its own ({', '.join(spec.own_code)}{where}), which would run as you, "
        "with your files and keys.",
        f"Read it; if you trust it, agree for this one model: --set trust_remote_code={name} (or that line in the "
        "configuration).",
    )


def missing(spec: ModelSpec) -> tuple[str, ...]:
    """The names of its code files that are not in its folder."""
    here = spec.path or Path("/nowhere")
    return tuple(name for name in spec.own_code if not (here / name).is_file())
