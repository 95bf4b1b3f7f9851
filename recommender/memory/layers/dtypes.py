"""The dtypes that flow through a layer."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.workload import FP32, HALF, Case


@dataclass(frozen=True, slots=True)
class Dtypes:
    """Bytes of an element at each place in a layer."""

    stream: int
    """Hidden states between layers, and what a norm gives."""
    linear: int
    """What a linear layer gives for such a state: bitsandbytes casts back to its input's dtype."""
    attention: int
    """Queries, keys, values and the attention's output: autocast and flash attention make them half."""
    lora: int
    """What A and B take and give."""

    @classmethod
    def of(cls, case: Case) -> Dtypes:
        """The dtypes of a case."""
        linear = case.compute if case.autocast and not case.bits else case.plain
        flash = case.config.training.attn_implementation.startswith("flash")
        return cls(
            stream=case.plain,
            linear=linear,
            attention=case.compute if case.autocast else HALF if flash and case.compute != FP32 else linear,
            lora=case.compute if case.autocast else case.adapter,
        )
