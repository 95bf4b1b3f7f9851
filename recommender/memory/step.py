"""A step as pricing sees it, whichever formula it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.moments import Moment
from recommender.memory.process import Pools

FORWARD = frozenset({"forward", "loss"})
"""Names of moments up to the loss and its gradient."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step holds beside what is resident, bytes."""

    moments: tuple[Moment, ...]
    """The candidates for its peak, the optimizer's update last."""
    pools: Pools
    """What comes and goes; `unserved` is filled in when the worst moment is known."""
    evaluation: int
    """The most of an evaluation."""
    offloaded: int
    """What layers keep in host memory."""

    @property
    def forward(self) -> int:
        """The most up to the loss."""
        return max(moment.total for moment in self.moments if moment.name in FORWARD)

    @property
    def backward(self) -> int:
        """The most from the last layer's backward pass on, before the update."""
        return max(moment.total for moment in self.moments[:-1] if moment.name not in FORWARD)
