"""Fused experts in a Transformers model: which modules hold them, and the layout of their 3-D weights.

Since Transformers 5 the experts of a layer are one module with a 3-D parameter for each product
(`integrations/moe.py`, `use_experts_implementation`): (experts, out, in), or (experts, in, out) where the class says
`is_transposed` (gpt-oss, Aria). A class without that decorator computes by itself and is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from recommender.model.experts import PRODUCTS


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape of a fused weight: (experts, out, in), or (experts, in, out) where it is transposed."""

    experts: int
    rows: int
    columns: int
    transposed: bool

    @property
    def values(self) -> int:
        """Weights of one expert."""
        return self.rows * self.columns

    @property
    def in_features(self) -> int:
        """Width of what it takes."""
        return self.rows if self.transposed else self.columns

    @property
    def out_features(self) -> int:
        """Width of what it gives."""
        return self.columns if self.transposed else self.rows


def is_fused(module: nn.Module) -> bool:
    """Whether a module holds fused experts that are computed through Transformers' experts interface."""
    return hasattr(module, "is_transposed") and hasattr(module, "has_gate") and hasattr(module, "num_experts")


def fused_modules(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the modules of a model that hold fused experts, with their names."""
    for name, module in model.named_modules():
        if is_fused(module):
            yield name, module


def weight_names(module: Any) -> tuple[str, ...]:
    """Names of a module's 3-D weights, in order of use."""
    return tuple(name for name in PRODUCTS if name in module._parameters)


def layout_of(module: Any, name: str) -> Layout:
    """The layout of a weight, also after it was packed."""
    packed = vars(module).get("packed_layouts", {})
    if name in packed:
        layout: Layout = packed[name]
        return layout
    experts, rows, columns = getattr(module, name).shape
    return Layout(experts, rows, columns, bool(module.is_transposed))


def parameter_targets(model: nn.Module) -> list[str]:
    """Names of the fused weights as PEFT's `target_parameters` takes them: 'experts.gate_up_proj'."""
    found = {f"{name.rpartition('.')[2]}.{weight}" for name, x in fused_modules(model) for weight in weight_names(x)}
    return sorted(found)
