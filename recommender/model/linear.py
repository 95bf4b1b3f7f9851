"""A kind of linear layer: what quantisation and LoRA act on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Linear:
    """A kind of linear layer (`nn.Linear`) inside the decoder layers: what quantisation and LoRA act on."""

    name: str
    """Leaf module name, such as 'q_proj'."""
    in_features: int
    out_features: int
    count: int
    """Number of this kind in the whole model (usually one a layer)."""
    bias: bool = False

    @property
    def parameters(self) -> int:
        """Parameters of all of this kind, weights and biases."""
        return self.count * (self.in_features * self.out_features + (self.out_features if self.bias else 0))

    def adapter_parameters(self, r: int) -> int:
        """Parameters that LoRA of rank r adds: A is r × in, B is out × r (Hu et al. 2021, section 4.1)."""
        return self.count * r * (self.in_features + self.out_features)
