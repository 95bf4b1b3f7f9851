"""Names of weights between a published repository, the class that is trained and the class that is served.

All by Transformers' own mapping of keys: the tensor of the repository that is loaded into one class under this name is
loaded into the other under that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from recommender.model.experts import PRODUCTS
from recommender.model.sources.headers import read_entries, weight_files
from trainer.classes.build import built_of, skeleton
from trainer.classes.choose import Classes

Loads = Callable[[str], str]
"""Function from a repository's name of a tensor to the name of the parameter that it becomes (or becomes a part of)."""


def loads_into(model: Any) -> Loads:
    """Return how `from_pretrained` names a repository's tensors in this model.

    Args:
        model: Of the class, on meta is enough; it may have an adapter in it.
    """
    conversions = get_model_conversion_mapping(model)
    renamings = [entry for entry in conversions if isinstance(entry, WeightRenaming)]
    converters = [entry for entry in conversions if isinstance(entry, WeightConverter)]
    own = {name.replace(".base_layer.", "."): tensor for name, tensor in model.state_dict().items()}

    def name_of(key: str) -> str:
        name: str = rename_source_key(key, renamings, converters, model.base_model_prefix, own)[0]
        if name not in own and key in own:
            # A file in the class's own names needs no mapping.
            return key
        return name

    return name_of


def published_names(folder: Path) -> tuple[str, ...]:
    """Names of the tensors in a repository's files, headers read alone."""
    return tuple(name for path in weight_files(folder) for name in read_entries(path))


def served_skeleton(classes: Classes) -> Any:
    """The served class on meta, with its towers as far as their packages are here."""
    with torch.device("meta"):
        return built_of(classes.served, classes.document, dtype=torch.bfloat16)


def trained_to_served(classes: Classes, keys: Iterable[str]) -> Mapping[str, str]:
    """Map each parameter of the trained class to the served class's name for it.

    Args:
        classes: Of the model.
        keys: Names of the tensors in its repository.
    """
    trained, served = skeleton(classes, dtype=torch.bfloat16, attention="eager"), served_skeleton(classes)
    into_trained, into_served = loads_into(trained), loads_into(served)
    of_trained, of_served = set(trained.state_dict()), set(served.state_dict())
    found = dict(_ends(trained, served))
    for key in keys:
        one, other = into_trained(key), into_served(key)
        if one in of_trained and other in of_served:
            found[one] = other
    return found


def ends_of(model: Any) -> tuple[str, str]:
    """Return the names of the embedding's and the head's weight; an empty one where there is none."""
    found = [getattr(model, of)() for of in ("get_input_embeddings", "get_output_embeddings")]
    embedding, head = (f"{_name(model, x)}.weight" if x is not None else "" for x in found)
    return embedding, head


def _ends(trained: Any, served: Any) -> Iterator[tuple[str, str]]:
    """Yield both names of the embedding's and the head's weight: a tied head is not among the files' tensors."""
    for one, other in zip(ends_of(trained), ends_of(served), strict=True):
        if one and other:
            yield one, other


def _name(model: Any, module: Any) -> str:
    names: dict[int, str] = {id(found): name for name, found in model.named_modules()}
    return names[id(module)]


def renamed(name: str, parameters: Mapping[str, str]) -> str | None:
    """Return the other class's name of an adapter's weight, without PEFT's prefix; None where it has no counterpart.

    Args:
        name: Such as 'model.layers.0.self_attn.q_proj.lora_A.weight', or a weight that is trained whole.
        parameters: One class's names of parameters to the other's.
    """
    module, marker, rest = name.partition(".lora_")
    if marker:
        if whole := parameters.get(f"{module}.weight"):
            return f"{whole.removesuffix('.weight')}{marker}{rest}"
        # An adapter of a mixture's fused experts stands under their module, once or twice deep.
        owner = module.replace(".base_layer", "")
        experts = next((parameters[key] for leaf in PRODUCTS if (key := f"{owner}.{leaf}") in parameters), None)
        return f"{experts.rpartition('.')[0]}{module.removeprefix(owner)}{marker}{rest}" if experts else None
    plain = name.replace(".base_layer.", ".")
    found = parameters.get(plain)
    if found is None or plain == name:
        return found
    owner, _, leaf = found.rpartition(".")
    return f"{owner}.base_layer.{leaf}"
