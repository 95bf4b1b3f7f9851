"""The fused experts of a mixture: their weights, and how a configuration holds and adapts them.

Since Transformers 5 the experts of a layer are 3-D parameters: no `nn.Linear`, so that neither bitsandbytes nor an
adapter of linear layers reaches them by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from recommender.config.schema import FinetuneConfig
from recommender.model.spec import ModelSpec

UNPACKED_BYTES: Final = 256 * 2**20
"""Bytes of 4-bit experts that are unpacked at once for a product; one expert where it alone has more."""
BLOCK: Final = 64
"""Weights that share one scale (bitsandbytes, NF4)."""
PRODUCTS: Final = ("gate_up_proj", "up_proj", "down_proj")
"""Names of fused weights in the classes that go through Transformers' experts interface, in order of use."""
COMPUTED_OTHERWISE: Final = frozenset({"llama4", "llama4_text", "jetmoe", "step3p7", "step3p7_text"})
"""Mixtures whose class multiplies its experts by itself (Transformers 5.23): they stay in 16 bits and frozen."""


@dataclass(frozen=True, slots=True)
class FusedWeight:
    """A kind of 3-D parameter: one matrix of each expert of a layer."""

    name: str
    """Leaf parameter name, such as 'gate_up_proj'."""
    in_features: int
    out_features: int
    experts: int
    count: int
    """Layers that have it."""

    @property
    def values(self) -> int:
        """Weights of one expert."""
        return self.in_features * self.out_features

    @property
    def parameters(self) -> int:
        """Weights of all experts of all layers."""
        return self.count * self.experts * self.values

    def adapter_parameters(self, r: int) -> int:
        """Parameters of a LoRA of rank r: each expert has an A and a B of its own (PEFT's `target_parameters`)."""
        return self.count * self.experts * r * (self.in_features + self.out_features)


def fused_weights(model: ModelSpec) -> tuple[FusedWeight, ...]:
    """The fused experts of a model; none where it is no mixture."""
    if not model.num_experts or model.model_type in COMPUTED_OTHERWISE:
        return ()
    if model.anatomy is not None:
        found = (x for x in model.anatomy.experts if x.name in PRODUCTS)
        return tuple(FusedWeight(x.name, x.in_features, x.out_features, x.experts, x.count) for x in found)
    dense = max((x.count for x in model.linears if x.name in ("down_proj", "gate_up_proj")), default=0)
    count, hidden, width = model.num_layers - dense, model.hidden_size, model.moe_intermediate_size
    return (
        FusedWeight("gate_up_proj", hidden, 2 * width, model.num_experts, count),
        FusedWeight("down_proj", width, hidden, model.num_experts, count),
    )


def at_once(values: int, experts: int, element: int) -> int:
    """Experts that are unpacked together.

    Args:
        values: Weights of one expert.
        experts: Of a layer.
        element: Bytes of an unpacked weight.
    """
    if values % BLOCK:
        # The next expert begins within a byte or a block of this one's.
        return 1
    return max(1, min(experts, UNPACKED_BYTES // (values * element)))


def packs_experts(config: FinetuneConfig) -> bool:
    """Whether experts are held in 4 bits: with `bits: 4`, unless `quantization.experts` is false."""
    return config.quantization.bits == 4 and config.quantization.experts != False  # noqa: E712 - auto, or false


def adapts_experts(config: FinetuneConfig) -> bool:
    """Whether experts get an adapter: only where `lora.experts` is true; see the rule for what auto means."""
    return config.method != "full" and config.lora.experts is True
