"""Batches and the bytes that a step moves, by the formulas written out."""

from __future__ import annotations

import pytest

from recommender.config.schema import FinetuneConfig
from recommender.data.profile.synthetic import synthetic_profile
from recommender.memory.stacks import STACKS
from recommender.memory.workload import Workload, resolve_workload
from recommender.plan.search import relative_cost
from recommender.time.clock import Batch, average_batch
from recommender.time.work import training_work
from tests.unit.memory.cases import CARDS, llama, qlora

A100 = CARDS[2]
HALF = 2


def workload(config: FinetuneConfig) -> Workload:
    return resolve_workload(config, llama(), A100, None, STACKS["trl"])


def test_offloaded_checkpoints_cross_the_bus_twice_but_for_two_layers() -> None:
    config = qlora(training__activation_offloading=True, data__max_length=1024)
    moved = training_work(workload(config), 3, 1000)
    assert moved.bus_bytes == 2 * (3 * 1000) * 4096 * HALF * (32 - 2)
    assert training_work(workload(qlora(data__max_length=1024)), 3, 1000).bus_bytes == 0


def test_packed_rows_are_full_and_others_are_padded_to_the_longest_of_a_batch() -> None:
    data = synthetic_profile(1000, 200)
    mean = data.tokens_at(1024) / data.rows
    rows = {"training__per_device_train_batch_size": 4, "data__max_length": 1024}
    packed = workload(qlora(data__packing="bfd", training__attn_implementation="flash_attention_2", **rows))
    assert packed.packed
    assert average_batch(packed, data) == Batch(1, 4096, 4096)
    plain = workload(qlora(**rows))
    assert not plain.packed
    assert average_batch(plain, None) == Batch(4, 1024, 4 * 1024)
    batch = average_batch(plain, data)
    assert batch.rows == 4
    assert batch.real == pytest.approx(4 * mean)
    assert mean < batch.padded <= 1024
    one = average_batch(workload(qlora(data__max_length=1024)), data)
    assert one.rows == 1
    assert (one.padded, one.real) == pytest.approx((mean, mean))


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({"training__gradient_checkpointing": False}, 3 * 1.4 * 1.5),
        ({"training__gradient_checkpointing": True}, 4 * 1.4 * 1.5),
        ({"training__gradient_checkpointing": True, "training__activation_offloading": True}, 4 * 1.4 * 1.2 * 1.5),
        ({"training__gradient_checkpointing": False, "method": "lora", "quantization__bits": None}, 3 * 1.5),
        ({"training__gradient_checkpointing": False, "data__max_length": 256}, 3 * 1.4 * 2),
    ],
)
def test_where_no_speed_is_known_rows_are_compared_in_passes(changes: dict[str, object], cost: float) -> None:
    config = qlora(**{"data__max_length": 512, "training__per_device_train_batch_size": 1, **changes})
    assert relative_cost(config) == pytest.approx(cost)
