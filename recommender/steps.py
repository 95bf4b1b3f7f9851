"""Count of a run's optimizer steps and times of evaluation and saving: one for plan, clock and worker."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig
from recommender.data.packing import packing, packs, sequences_of
from recommender.data.profile.profile import DataProfile
from recommender.units import count, counted
from recommender.warning import CodedWarning, warning

LOOKS = 10
"""Evaluations that 'auto' spreads over a run."""
EVAL_SHARE = 0.1
"""Share of the training time that 'auto' lets evaluation take."""
EVAL_COST = 1 / 3
"""Work of an evaluated row against a trained one: the forward pass of forward and backward (twice the forward)."""


MOST_PASSES = 15
"""Epochs of LIMA (Zhou et al. 2023) over its 1 000 rows; the best checkpoints came after 5 to 10 of them."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The counts of a run, in optimizer steps and rows."""

    total: int
    per_epoch: int
    warmup: int
    eval_every: int | None
    """None when no row is held out."""
    save_every: int
    train_rows: int
    """Rows of one pass; packed sequences when rows are packed."""
    eval_rows: int | None
    """None when they come from files that nobody has counted yet."""

    @property
    def evaluations(self) -> int:
        """Evaluations in the run: one at each `eval_every`, and one at the end when it falls between two."""
        return ceil(self.total / self.eval_every) if self.eval_every else 0

    @property
    def saves(self) -> int:
        """Checkpoints written: one at each `save_every`, and one at the end (Trainer always saves the last step)."""
        return ceil(self.total / self.save_every)


def plan_steps(config: FinetuneConfig, data: DataProfile | None) -> Steps | None:
    """The run's steps, from its configuration and data.

    Args:
        config: The run.
        data: Profile of the training files, before rows are held out; None when they are not at hand.

    Returns:
        None without rows.
    """
    if data is None or not data.rows:
        return None
    if config.data.eval is not None:
        train, held = data.rows, None
    else:
        held = data.held_out_by_split(config.data.eval_fraction, config.training.seed)
        train = data.rows - held
    if packs(config):
        train = sequences_of(data, config.data.max_length, train)
    return count_steps(config, train, held)


def count_steps(config: FinetuneConfig, train_rows: int, eval_rows: int | None) -> Steps:
    """The run's steps for rows that are counted (packed sequences, when packed), as Transformers' Trainer counts them.

    The dataloader keeps its last, smaller batch, and the last optimizer step of an epoch takes what micro-batches are
    left: steps of an epoch = ceil(ceil(rows / batch) / accumulation), of the run ceil(epochs × that)
    (`Trainer.set_initial_training_values`, `TrainingArguments.get_warmup_steps`, Transformers 5.23).

    Args:
        config: The run.
        train_rows: Rows of one pass, 1 or more.
        eval_rows: Held-out rows; 0 none, None not counted yet.
    """
    training = config.training
    batches = -(-train_rows // training.per_device_train_batch_size)
    per_epoch = max(1, -(-batches // training.gradient_accumulation_steps))
    total = training.max_steps or ceil(training.num_train_epochs * per_epoch)
    warmup = training.warmup_steps
    eval_every, save_every = _intervals(config, total, eval_rows)
    return Steps(
        total=total,
        per_epoch=per_epoch,
        warmup=int(warmup) if warmup >= 1 else ceil(total * warmup),
        eval_every=eval_every,
        save_every=save_every,
        train_rows=train_rows,
        eval_rows=eval_rows,
    )


def step_warnings(profile: DataProfile, config: FinetuneConfig) -> tuple[CodedWarning, ...]:
    """Return warnings about a configuration's steps, where the rows are too few for them."""
    steps = plan_steps(config, profile)
    if steps is None:
        return ()
    batch = config.training.effective_batch_size
    what = "sequence" if packs(config) else "row"
    passes = steps.total / steps.per_epoch
    said = []
    if steps.train_rows < batch:
        said.append(
            warning(
                "epoch_of_one_step",
                f"A step takes {counted(batch, what)} and {counted(steps.train_rows, what)} "
                f"{'is' if steps.train_rows == 1 else 'are'} left to train on: an epoch is a single step.",
                "Lower gradient_accumulation_steps for more of them.",
            )
        )
    if passes > MOST_PASSES:
        said.append(
            warning(
                "many_passes",
                f"{counted(steps.total, 'step')} go through the rows {count(passes)} times: the model will learn them "
                "by heart.",
                "Lower max_steps or num_train_epochs, or take more rows.",
            )
        )
    return tuple(said)


def packing_document(profile: DataProfile, config: FinetuneConfig) -> dict[str, Any]:
    """Effect of packing at a configuration's length and batch, for `data --json`; steps are those of an epoch.

    They are counted as the plan counts them, without the rows that are held out; None without rows.
    """
    training = config.training
    found = packing(profile, config.data.max_length, training.per_device_train_batch_size)
    batch = training.effective_batch_size
    padded, packed = (plan_steps(with_values(config, {"data.packing": each}), profile) for each in (False, True))
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


def _intervals(config: FinetuneConfig, total: int, eval_rows: int | None) -> tuple[int | None, int]:
    """Steps between evaluations, and between checkpoints, which fall on evaluations so that the best can be kept."""
    run = config.run
    auto = _auto_interval(total, eval_rows or 0, config.training.effective_batch_size)
    if eval_rows == 0:
        return None, auto if run.save_steps == "auto" else run.save_steps
    if run.eval_steps == "auto" and run.save_steps == "auto":
        return auto, auto
    if run.save_steps == "auto":
        every = int(run.eval_steps)
        return every, every * max(1, round(auto / every))
    if run.eval_steps == "auto":
        return _divisor_near(run.save_steps, auto), run.save_steps
    return run.eval_steps, run.save_steps


def _auto_interval(total: int, eval_rows: int, effective: int) -> int:
    """Return a tenth of the run's steps, or as many more as keep evaluation to a tenth of the training time."""
    affordable = ceil(eval_rows * EVAL_COST / (EVAL_SHARE * effective))
    return max(1, min(total, max(ceil(total / LOOKS), affordable)))


def _divisor_near(number: int, wanted: int) -> int:
    """The divisor of `number` that is nearest to `wanted` by ratio, among those up to 256 and their counterparts."""
    small = [k for k in range(1, min(number, 256) + 1) if number % k == 0]
    return min({*small, *(number // k for k in small)}, key=lambda k: max(k / wanted, wanted / k))
