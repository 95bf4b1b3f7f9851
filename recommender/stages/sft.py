"""Supervised fine-tuning: the model learns to give the answers that the rows hold."""

from __future__ import annotations

from typing import Final

from recommender.stages.base import Stage

SFT: Final = Stage(
    name="sft",
    token_columns=("input_ids",),
    label_columns=("labels",),
    stack="trl",
    keys=frozenset({"data.packing", "data.train_on"}),
    packs=True,
)
