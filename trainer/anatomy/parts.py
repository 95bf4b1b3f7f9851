"""The stack of layers of a Transformers model's text part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from trainer.classes.build import text_prefix

LINEAR = (nn.Linear, Conv1D)
"""What PEFT's all-linear and bitsandbytes take for a linear layer; quantised layers are subclasses of the first."""


@dataclass(frozen=True)
class Parts:
    """The text part of a model, and its layers."""

    text: nn.Module
    prefix: str
    """Its name in the model, with a dot at its end; empty where it is the model."""
    lists: tuple[str, ...]
    """Names, in the model, of the ModuleLists of its layers."""
    layers: tuple[tuple[str, nn.Module], ...]
    """Each layer with its name in the model."""


def parts_of(model: Any) -> Parts:
    """Find the text part and its layers: the shallowest ModuleLists of modules that hold linear layers.

    Raises:
        ValueError: There is no such list: no stack of layers.
    """
    prefix = text_prefix(model)
    text = model.get_submodule(prefix) if prefix else model
    prefix = f"{prefix}." if prefix else ""
    lists = _layer_lists(text)
    if not lists:
        raise ValueError(f"{type(model).__name__} has no stack of layers")
    layers = tuple((f"{prefix}{name}.{index}", layer) for name, stack in lists for index, layer in enumerate(stack))
    return Parts(text, prefix, tuple(prefix + name for name, _ in lists), layers)


def _layer_lists(text: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    found = [
        (name, module)
        for name, module in text.named_modules()
        if isinstance(module, nn.ModuleList) and any(_holds_linears(layer) for layer in module)
    ]
    depth = min((name.count(".") for name, _ in found), default=0)
    return [(name, module) for name, module in found if name.count(".") == depth]


def _holds_linears(layer: nn.Module) -> bool:
    """Whether a module is built of linear layers, and is none itself."""
    return not isinstance(layer, LINEAR) and any(isinstance(module, LINEAR) for module in layer.modules())


def has_state_space(module: nn.Module) -> bool:
    """Whether a module holds the parameters of a state space (Mamba 1 and 2) itself."""
    return {"A_log", "D"} <= {name for name, _ in module.named_parameters(recurse=False)}


def in_features(module: nn.Module) -> int:
    """Width that a linear layer takes, also of a transposed one."""
    return int(getattr(module, "nx" if isinstance(module, Conv1D) else "in_features"))


def out_features(module: nn.Module) -> int:
    """Width that a linear layer gives, also of a transposed one."""
    return int(getattr(module, "nf" if isinstance(module, Conv1D) else "out_features"))
