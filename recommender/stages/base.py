"""The facts of a training stage that planning, recording, diagnosis and the screens ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that a trainer logs at each step and that the dashboard draws."""

    key: str
    """Its key in a step event, and its column in a run's history."""
    logged: str
    """Its name in the trainer's own log."""
    title: str
    """Of its curve."""
    legend: str = "each step"
    from_zero: bool = False
    """Whether its scale begins at zero: it has no negative values."""


LOSS: Final = Figure("loss", "loss", "loss")
COMMON_FIGURES: Final = (
    LOSS,
    Figure("learning_rate", "learning_rate", "learning_rate", from_zero=True),
    Figure("grad_norm", "grad_norm", "grad_norm", "before clipping", from_zero=True),
)
"""Figures logged by Transformers' Trainer at each step, in every stage."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A kind of training: supervised fine-tuning today."""

    name: str
    """As TRL and the hub call it, such as 'sft'."""
    token_columns: tuple[str, ...]
    """Columns of a tokenised row that hold token ids: their lengths together are the row's."""
    label_columns: tuple[str, ...]
    """Columns of the same lengths that tell the loss which tokens it sees."""
    stack: str
    """Name of the worker's way of holding weights and computing the loss, for the estimate: see `memory.stacks`."""
    keys: frozenset[str] = frozenset()
    """Dotted keys of the configuration that only this stage has: forms of other stages leave them out."""
    packs: bool = False
    """Whether several rows may be packed in one sequence."""
    sequences: int = 1
    """Sequences that a row puts through a forward pass: 1, or 2 where a pair's sides go through together."""
    reference_passes: int = 0
    """Forward passes more, through the model as it was before, that each batch takes: 1 where the loss compares."""
    figures: tuple[Figure, ...] = COMMON_FIGURES
    """Figures logged at each step, the loss first."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of a tokenised row, in order."""
        return self.token_columns + self.label_columns
