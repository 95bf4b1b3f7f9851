"""The parts of a built model that a trace must know: decoder, layers, final norm. Found by shape, not by family."""

from __future__ import annotations

from typing import Any

from torch import nn

OTHER_TOWERS = ("vision", "visual", "audio", "image", "video", "speech", "encoder")
"""Parts of a path that belong to a tower which text does not pass through."""


def base_of(model: Any) -> Any:
    """The model without head, with or without PEFT around it."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.base_model


def layers_of(model: Any) -> nn.ModuleList:
    """The decoder layers of the text part: the shallowest list of modules that is the longest at its depth.

    Raises:
        ValueError: The model has no list of layers.
    """
    found = _layer_lists(model)
    if not found:
        raise ValueError(f"{type(model).__name__} has no list of layers")
    return found[0][1]


def decoder_of(model: Any) -> nn.Module:
    """The module that holds the layers."""
    path, _ = _layer_lists(model)[0]
    decoder: nn.Module = base_of(model).get_submodule(path.rpartition(".")[0])
    return decoder


def layers_name(model: Any) -> str:
    """The name of the layers' list in their decoder."""
    return _layer_lists(model)[0][0].rpartition(".")[2]


def final_norm(model: Any) -> nn.Module:
    """The norm behind the last layer; the last layer itself where there is none."""
    decoder, layers = decoder_of(model), layers_of(model)
    if isinstance(norm := getattr(decoder, "norm", None), nn.Module):
        return norm
    norms = [child for name, child in decoder.named_children() if _is_norm(name, child)]
    return norms[-1] if norms else layers[-1]


def _is_norm(name: str, module: nn.Module) -> bool:
    said = f"{name} {type(module).__name__}".lower()
    before = "embed" in name.lower() and "embedding_norm" not in name.lower()
    return ("norm" in said or name == "ln_f") and not before and not isinstance(module, nn.ModuleList)


def _layer_lists(model: Any) -> list[tuple[str, nn.ModuleList]]:
    """Lists of modules in the text part, with their paths in the base model, the likeliest first."""
    base = base_of(model)
    expected = getattr(base.config.get_text_config(decoder=True), "num_hidden_layers", None)
    lists = [
        (path, module)
        for path, module in base.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) and not _elsewhere(path)
    ]
    return sorted(lists, key=lambda found: (len(found[1]) != expected, found[0].count("."), -len(found[1])))


def _elsewhere(path: str) -> bool:
    return any(tower in part for part in path.lower().split(".") for tower in OTHER_TOWERS)
