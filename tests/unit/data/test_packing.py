"""What packing saves and how full sequences become, against what TRL makes of the same rows."""

from __future__ import annotations

from random import Random
from statistics import mean

import pytest

from recommender.config.schema import FinetuneConfig, Training
from recommender.data.packing import best_fit_decreasing, packed_tokens, packing, padding_share
from recommender.data.profile.profile import DataProfile
from recommender.steps import step_warnings
from recommender.warning import texts
from tests.fixtures.child import run_python

RNG = Random(11)
LENGTHS = [max(3, int(RNG.lognormvariate(4.6, 0.8))) for _ in range(1000)]


def profile(shape: str = "alpaca", lengths: list[int] = LENGTHS) -> DataProfile:
    return DataProfile(
        files=(),
        shape=shape,
        shape_reason="made",
        columns={},
        lengths=lengths,
        spans=[bound for length in lengths for bound in (0, length)],
        span_start=range(len(lengths) + 1),
    )


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_padding_is_what_shuffled_batches_have(batch: int) -> None:
    rng = Random(5)
    tokens, padded = 0, 0
    for _ in range(4000):
        rows = [min(256, length) for length in rng.sample(LENGTHS, batch)]
        tokens, padded = tokens + sum(rows), padded + batch * max(rows)
    assert padding_share(profile(), 256, batch) == pytest.approx(1 - tokens / padded, abs=0.01)


def test_items_go_where_the_least_room_is_left() -> None:
    assert best_fit_decreasing([5, 4, 3, 2, 1], 5) == 3
    assert best_fit_decreasing([4, 4, 4], 5) == 3
    assert best_fit_decreasing([], 5) == 0


def test_text_is_split_and_rows_with_answers_are_kept_whole() -> None:
    text, answers = packing(profile("text"), 64, 8), packing(profile(), 64, 8)
    assert (text.strategy, answers.strategy) == ("bfd_split", "bfd")
    assert packed_tokens(profile("text"), 64) == sum(LENGTHS)
    assert packed_tokens(profile(), 64) == sum(min(64, length) for length in LENGTHS)
    assert text.sequences > answers.sequences
    assert answers.rows_in_sequence == pytest.approx(1000 / answers.sequences)


PACKED = """
import json, sys
from datasets import Dataset
from trl import pack_dataset
lengths = json.loads(sys.argv[1])
rows = Dataset.from_dict({"input_ids": [[1] * length for length in lengths]})
print(json.dumps({s: [len(row) for row in pack_dataset(rows, 256, s)["input_ids"]] for s in ("bfd", "bfd_split")}))
"""


@pytest.mark.torch
def test_it_is_what_trl_makes_of_the_same_rows() -> None:
    import json

    made = run_python(PACKED, json.dumps(LENGTHS))
    for shape, strategy in (("alpaca", "bfd"), ("text", "bfd_split")):
        found = packing(profile(shape), 256, 8)
        assert found.sequences == len(made[strategy])
        assert found.empty_share == pytest.approx(1 - mean(made[strategy]) / 256)


def test_rows_alone_in_their_batch_need_no_padding() -> None:
    for lengths in ([7158, 31, 9, 12_345, 26_786] * 6, [37, 38, 37] * 10):
        assert padding_share(profile(lengths=lengths), 100_000, 1) == 0.0


def test_fewer_rows_than_steps_make_sense_for_are_told() -> None:
    def said(rows: int, **training: int) -> tuple[str, ...]:
        values = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, **training}
        config = FinetuneConfig(model="m", quantization={"bits": 4}, training=Training.model_validate(values))
        return tuple(texts(step_warnings(profile(lengths=[30] * rows), config)))

    assert said(400) == said(400, max_steps=700) == ()
    (many,) = said(400, max_steps=1000)
    assert many.startswith("1 000 steps go through the rows 21 times: the model will learn them by heart.")
    (few,) = said(8)
    assert few.startswith("A step takes 8 rows and 7 rows are left to train on: an epoch is a single step.")
