"""The dtypes that flow through a layer."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.workload import FP32, HALF, Workload


@dataclass(frozen=True, slots=True)
class Dtypes:
    """Bytes of an element at each place in a layer."""

    stream: int
    """Hidden states between layers, and what a norm gives."""
    linear: int
    """A linear layer's output for such a state: bitsandbytes casts back to its input's dtype."""
    attention: int
    """Queries, keys, values and the attention's output: autocast and flash attention make them half."""
    lora: int
    """The inputs and outputs of A and B."""

    @classmethod
    def of(cls, workload: Workload) -> Dtypes:
        """The dtypes of a workload."""
        linear = workload.compute if workload.autocast and not workload.bits else workload.plain
        flash = workload.config.training.attn_implementation.startswith("flash")
        return cls(
            stream=workload.plain,
            linear=linear,
            attention=workload.compute if workload.autocast else HALF if flash and workload.compute != FP32 else linear,
            lora=workload.compute if workload.autocast else workload.adapter,
        )
