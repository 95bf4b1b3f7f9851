"""The facts of a training stage that planning, recording and the screens ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """A kind of training: supervised fine-tuning today."""

    name: str
    """As TRL and the hub call it, such as 'sft'."""
    token_columns: tuple[str, ...]
    """Columns of a tokenised row that hold token ids: their lengths together are the row's."""
    label_columns: tuple[str, ...]
    """Columns of the same lengths that tell the loss which tokens it sees."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of a tokenised row, in order."""
        return self.token_columns + self.label_columns
