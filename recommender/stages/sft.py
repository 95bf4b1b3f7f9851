"""Supervised fine-tuning: the model learns to give the answers that the rows hold."""

from __future__ import annotations

from recommender.stages.base import Stage

SFT = Stage(name="sft", token_columns=("input_ids",), label_columns=("labels",))
