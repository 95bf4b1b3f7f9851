"""The training stacks (`--stack`), as far as memory can tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.stages import stage_of

LossPath = Literal["fused", "full", "liger"]


@dataclass(frozen=True, slots=True)
class Stack:
    """A training program's way to hold weights and to compute the loss."""

    name: str
    loss: LossPath
    """'fused': TRL's tiles over tokens and vocabulary; 'full': all logits; 'liger': Liger's chunks over tokens."""
    upcast: bool
    """Whether `prepare_model_for_kbit_training` turns what is not quantised into fp32."""
    adapter_follows_precision: bool
    """Adapters over a quantised base in bf16 under bf16 (TRL); else PEFT's default, fp32."""
    expandable_segments: bool
    """Whether PYTORCH_CUDA_ALLOC_CONF asks for them (our worker does)."""
    autocast: bool = True
    """Whether mixed precision is asked for; without it products that are not quantised are in their weights' fp32."""
    fused_experts: bool = False
    """Whether 4-bit experts are one packed tensor a layer (our worker), all rows multiplied before the activation; else
    each expert is three linear layers of bitsandbytes, run one after the other, as Transformers 4 built them."""
    shifted_copy: bool = False
    """Transformers before 4.49 copied the logits in fp32 once more to shift them; no named stack does today."""


STACKS = {
    stack.name: stack
    for stack in (
        Stack(
            "trl",
            "fused",
            upcast=False,
            adapter_follows_precision=True,
            expandable_segments=True,
            fused_experts=True,
        ),
        Stack("hf-trainer", "full", upcast=True, adapter_follows_precision=False, expandable_segments=False),
        Stack("hf-trainer-noupcast", "full", upcast=False, adapter_follows_precision=False, expandable_segments=False),
        Stack(
            "hf-trainer-fp32",
            "full",
            upcast=True,
            adapter_follows_precision=False,
            expandable_segments=False,
            autocast=False,
        ),
        Stack("hf-trainer+liger", "liger", upcast=True, adapter_follows_precision=False, expandable_segments=False),
    )
}


def find_stack(name: str) -> Stack:
    """The stack of that name.

    Raises:
        InputError: There is none; names those there are.
    """
    if name not in STACKS:
        raise InputError(f"There is no stack {name!r}.", remedy=f"Choose one of {', '.join(STACKS)}.")
    return STACKS[name]


def stack_for(config: FinetuneConfig, name: str | None = None) -> Stack:
    """Return the stack of a name; without one, the stack that the worker trains the configuration's stage with.

    Raises:
        InputError: There is none of that name.
    """
    return find_stack(name or stage_of(config).stack)
