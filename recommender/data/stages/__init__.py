"""Readers of each training stage's rows, a module a stage: formats, sequences of a row, columns for the trainer.

May know formats and tokens; opening, profile and data set ask it. A stage's facts are in `recommender.stages`.
"""

from __future__ import annotations

from recommender.data.stages.base import RowReader
from recommender.data.stages.sft import SFT_ROWS
from recommender.stages import Stage

__all__ = ["STAGES", "RowReader", "row_reader"]

STAGES: dict[str, RowReader] = {reader.stage.name: reader for reader in (SFT_ROWS,)}
"""Name of a stage to its reader of rows; another one is one more value here."""


def row_reader(stage: Stage) -> RowReader:
    """Return the reader of a stage's rows."""
    return STAGES[stage.name]
