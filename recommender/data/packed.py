"""What a configuration's packing means for its data."""

from __future__ import annotations

import sys
from typing import Any

from recommender.config.edit import replace
from recommender.config.schema import FinetuneConfig
from recommender.data.packing import packing, strategy_for
from recommender.data.profile.profile import DataProfile
from recommender.steps import packs, plan_steps
from recommender.units import count, counted

MOST_PASSES = 15
"""As often LIMA (Zhou et al. 2023) went through its 1 000 rows; the best was what it had after 5 to 10 times."""


def splits(profile: DataProfile, config: FinetuneConfig) -> bool:
    """Whether rows that are too long are packed in parts, so that nothing of them is cut."""
    return packs(config) and strategy_for(profile) == "bfd_split"


def limit_of(profile: DataProfile, config: FinetuneConfig) -> int:
    """Tokens behind which a row is cut off; rows that are packed in parts are not cut at all."""
    return sys.maxsize if splits(profile, config) else config.data.max_length


def step_warnings(profile: DataProfile, config: FinetuneConfig) -> tuple[str, ...]:
    """What the person should know of a configuration's steps, where the rows are too few for them."""
    steps = plan_steps(config, profile)
    if steps is None:
        return ()
    batch = config.training.effective_batch_size
    what = "sequence" if packs(config) else "row"
    passes = steps.total / steps.per_epoch
    said = []
    if steps.train_rows < batch:
        said.append(
            f"A step takes {counted(batch, what)} and {counted(steps.train_rows, what)} "
            f"{'is' if steps.train_rows == 1 else 'are'} left to train on: an epoch is a single step. "
            "Lower gradient_accumulation_steps for more of them."
        )
    if passes > MOST_PASSES:
        said.append(
            f"{counted(steps.total, 'step')} go through the rows {count(passes)} times: the model will learn them "
            "by heart. Lower max_steps or num_train_epochs, or take more rows."
        )
    return tuple(said)


def packing_document(profile: DataProfile, config: FinetuneConfig) -> dict[str, Any]:
    """What packing changes at a configuration's length and batch, for `data --json`; steps are those of an epoch.

    They are counted as the plan counts them, without the rows that are held out; None without rows.
    """
    training = config.training
    found = packing(profile, config.data.max_length, training.per_device_train_batch_size)
    batch = training.effective_batch_size
    padded, packed = (plan_steps(replace(config, {"data.packing": each}), profile) for each in (False, True))
    return {
        "packed": packs(config),
        "strategy": found.strategy,
        "padding_share": found.padding_share,
        "empty_share": found.empty_share,
        "steps": padded.per_epoch if padded else None,
        "steps_packed": packed.per_epoch if packed else None,
        "rows_in_step": batch,
        "rows_in_step_packed": min(padded.train_rows if padded else 0, batch * found.rows_in_sequence),
    }
