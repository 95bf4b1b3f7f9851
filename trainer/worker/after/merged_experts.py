"""Merges an adapter of fused experts into a base whose files hold one tensor an expert, or fused ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import torch
from peft import LoraConfig
from torch import Tensor
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from trainer.worker.setup.experts.modules import Layout, fused_modules, layout_of, weight_names

NUMBER: Final = re.compile(r"\.(\d+)\.(?!.*\.\d+\.)")
"""The last number in a tensor's name: its expert, where a file holds one tensor an expert."""


@dataclass(frozen=True, slots=True)
class Update:
    """What an adapter adds to a fused weight."""

    a: Tensor
    """(experts, r, in), fp32."""
    b: Tensor
    """(experts, out, r), fp32."""
    scaling: float
    layout: Layout

    def of(self, expert: int) -> Tensor:
        """For one expert, in the layout of the class: (rows, columns)."""
        update = self.scaling * (self.b[expert] @ self.a[expert])
        return update.t() if self.layout.transposed else update


class Experts:
    """The adapted experts of a model, by the names of the class.

    Args:
        model: Of the class that the adapter is for, on meta.
        settings: The adapter's.
        saved: Its weights by module, names without PEFT's prefix.
    """

    def __init__(self, model: Any, settings: LoraConfig, saved: Mapping[str, Mapping[str, Tensor]]) -> None:
        self._updates: dict[str, Update] = {}
        self._modules: dict[str, str] = {}
        wanted = {name.rpartition(".")[2] for name in settings.target_parameters or ()}
        for path, module in fused_modules(model):
            # PEFT wraps one weight after the other: the last stands outermost, under the module's own name.
            adapted = [name for name in weight_names(module) if name in wanted]
            for depth, name in enumerate(reversed(adapted)):
                held = path + ".base_layer" * depth
                if held in saved:
                    self._updates[f"{path}.{name}"] = _update(saved[held], held, settings, layout_of(module, name))
                    self._modules[f"{path}.{name}"] = held
        conversions = get_model_conversion_mapping(model)
        self._renamings = [each for each in conversions if isinstance(each, WeightRenaming)]
        self._converters = [each for each in conversions if isinstance(each, WeightConverter)]
        self._prefix, self._own = model.base_model_prefix, model.state_dict()

    def merged(self, name: str, tensor: Tensor) -> tuple[str, Tensor] | None:
        """Return the module of the adapter that a tensor of the files belongs to, and the tensor with its update.

        Args:
            name: In the files, such as 'model.layers.0.mlp.experts.3.gate_proj.weight'.
            tensor: Of the base.

        Returns:
            None where no expert's adapter touches it; else computed in fp32.
        """
        own, pattern = rename_source_key(name, self._renamings, self._converters, self._prefix, self._own)
        if own not in self._updates and name in self._updates:
            own, pattern = name, None
        update = self._updates.get(own)
        if update is None:
            return None
        if pattern is None:
            whole = torch.stack([update.of(expert) for expert in range(update.layout.experts)])
            return self._modules[own], tensor.float() + whole
        number = NUMBER.search(name)
        converter = next(each for each in self._converters if pattern in each.source_patterns)
        if number is None:
            raise ValueError(f"{name} names no expert")
        parts = update.of(int(number[1])).chunk(len(converter.source_patterns), dim=0)
        part = parts[converter.source_patterns.index(pattern)]
        return self._modules[own], tensor.float() + (part if part.shape == tensor.shape else part.t())


def _update(saved: Mapping[str, Tensor], module: str, settings: LoraConfig, layout: Layout) -> Update:
    a, b = (saved[f"{module}.lora_{factor}.weight"].float() for factor in ("A", "B"))
    a = a.reshape(layout.experts, -1, a.shape[-1])
    b = b.reshape(b.shape[0], -1, layout.experts).permute(2, 0, 1)
    rank = a.shape[1]
    return Update(a, b, settings.lora_alpha / (sqrt(rank) if settings.use_rslora else rank), layout)
