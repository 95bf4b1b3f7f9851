"""Rules of supervised fine-tuning."""

from __future__ import annotations

from typing import Final

from recommender.rules import adapter, batch, conversations, experts, length, method, precision, rate, running, schedule
from recommender.rules.stages.base import StageRules
from recommender.stages.sft import SFT

SFT_RULES: Final = StageRules(
    stage=SFT,
    # Held-out rows before length, length before rank, rank before alpha, epochs before batch, and all before the rate.
    rules=(
        *precision.RULES,
        *method.RULES,
        *running.RULES,
        *length.RULES,
        *length.ABOUT_ANSWERS,
        *conversations.RULES,
        *adapter.RULES,
        *experts.RULES,
        *schedule.RULES,
        *batch.RULES,
        *schedule.AFTER_BATCH,
        *rate.RULES,
    ),
)
