"""What a configuration's packing means for its data."""

from __future__ import annotations

import sys
from typing import Any

from recommender.config.schema import FinetuneConfig
from recommender.data.packing import packing, strategy_for
from recommender.data.profile import DataProfile
from recommender.steps import packs


def splits(profile: DataProfile, config: FinetuneConfig) -> bool:
    """Whether rows that are too long are packed in parts, so that nothing of them is cut."""
    return packs(config) and strategy_for(profile) == "bfd_split"


def limit_of(profile: DataProfile, config: FinetuneConfig) -> int:
    """Tokens behind which a row is cut off; rows that are packed in parts are not cut at all."""
    return sys.maxsize if splits(profile, config) else config.data.max_length


def packing_document(profile: DataProfile, config: FinetuneConfig) -> dict[str, Any]:
    """What packing changes at a configuration's length and batch, for `data --json`; steps are those of an epoch."""
    training = config.training
    found = packing(profile, config.data.max_length, training.per_device_train_batch_size)
    batch = training.effective_batch_size
    return {
        "packed": packs(config),
        "strategy": found.strategy,
        "padding_share": found.padding_share,
        "empty_share": found.empty_share,
        "steps": max(1, -(-profile.rows // batch)),
        "steps_packed": max(1, -(-found.sequences // batch)),
        "rows_in_step": batch,
        "rows_in_step_packed": min(profile.rows, batch * found.rows_in_sequence),
    }
