"""Steps are counted as Transformers' Trainer counts them."""

import pytest

from recommender.config.schema import FinetuneConfig
from recommender.data.packing import packs
from recommender.data.profile.synthetic import synthetic_profile
from recommender.steps import count_steps, plan_steps


def config(**changes: object) -> FinetuneConfig:
    training = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8, **changes.pop("training", {})}  # type: ignore[dict-item]  # a section among values
    return FinetuneConfig.model_validate({"model": "m", "method": "lora", "training": training, **changes})


@pytest.mark.parametrize(
    ("rows", "per_epoch"),
    [(16, 1), (17, 2), (1, 1), (33, 3), (32, 2), (229, 15)],
)
def test_the_last_smaller_batch_is_a_step_of_its_own(rows: int, per_epoch: int) -> None:
    assert count_steps(config(), rows, 0).per_epoch == per_epoch


def test_part_of_an_epoch_rounds_up() -> None:
    assert count_steps(config(training={"num_train_epochs": 0.5}), 33, 0).total == 2
    assert count_steps(config(training={"num_train_epochs": 3}), 33, 0).total == 9


def test_max_steps_overrides_epochs() -> None:
    assert count_steps(config(training={"max_steps": 7}), 1000, 0).total == 7


def test_warmup_below_one_is_a_share_rounded_up() -> None:
    assert count_steps(config(training={"warmup_steps": 0.05}), 16 * 21, 0).warmup == 2
    assert count_steps(config(training={"warmup_steps": 5}), 16 * 21, 0).warmup == 5


def test_held_out_rows_leave_the_training_rows() -> None:
    steps = plan_steps(config(data={"eval_fraction": 0.05}), synthetic_profile(1000, 100))
    assert steps is not None
    assert (steps.train_rows, steps.eval_rows) == (950, 50)
    assert synthetic_profile(1, 100).held_out_by_split(0.5, 42) == 0
    assert synthetic_profile(2, 100).held_out_by_split(0.99, 42) == 1


def test_nothing_is_evaluated_without_held_out_rows() -> None:
    steps = plan_steps(config(data={"eval_fraction": 0}), synthetic_profile(1000, 100))
    assert steps is not None
    assert steps.eval_every is None
    assert steps.evaluations == 0


def test_auto_evaluates_ten_times_and_saves_with_it() -> None:
    steps = count_steps(config(), 16_000, 50)
    assert (steps.total, steps.eval_every, steps.save_every, steps.evaluations) == (1000, 100, 100, 10)


def test_many_held_out_rows_are_evaluated_less_often() -> None:
    steps = count_steps(config(), 160, 1600)
    assert steps.eval_every == steps.total == 10


def test_checkpoints_fall_on_evaluations() -> None:
    assert count_steps(config(run={"eval_steps": 30}), 16_000, 50).save_every == 90
    given = count_steps(config(run={"save_steps": 500}), 16_000, 50)
    assert given.eval_every is not None
    assert given.save_every % given.eval_every == 0


def test_packing_is_automatic_only_with_flash_attention() -> None:
    assert not packs(config())
    assert packs(config(training={"attn_implementation": "flash_attention_2"}))
    packed = plan_steps(config(data={"packing": True, "max_length": 2000}), synthetic_profile(1000, 100))
    assert packed is not None
    assert packed.train_rows == 49


def test_no_steps_without_data() -> None:
    assert plan_steps(config(), None) is None


@pytest.mark.torch
def test_trainer_counts_the_same(tmp_path: object) -> None:
    """Held against `Trainer.set_initial_training_values` in a process of its own, because it imports torch."""
    import json
    import subprocess
    import sys

    program = """
import json, sys
from types import SimpleNamespace
from transformers import Trainer
from transformers.training_args import TrainingArguments
answers = []
for rows, batch, accumulation, epochs in json.loads(sys.argv[1]):
    loader = [None] * -(-rows // batch)
    args = SimpleNamespace(max_steps=-1, gradient_accumulation_steps=accumulation, num_train_epochs=epochs)
    fake = SimpleNamespace(get_total_train_batch_size=lambda a: 1, get_sp_size=lambda: 1, num_examples=lambda d: rows)
    values = Trainer.set_initial_training_values(fake, args, loader)
    warm = TrainingArguments.get_warmup_steps(SimpleNamespace(warmup_steps=0.05), values[6])
    answers.append([values[1], values[6], warm])
print(json.dumps(answers))
"""
    cases = [(r, b, a, e) for r in (1, 7, 16, 241, 1000) for b in (1, 3) for a in (1, 8) for e in (1, 2.5)]
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(cases)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for (rows, batch, accumulation, epochs), theirs in zip(cases, json.loads(done.stdout), strict=True):
        ours = count_steps(
            config(
                training={
                    "per_device_train_batch_size": batch,
                    "gradient_accumulation_steps": accumulation,
                    "num_train_epochs": epochs,
                }
            ),
            rows,
            0,
        )
        assert [ours.per_epoch, ours.total, ours.warmup] == theirs
