"""Shards: a share of what is held, two gathered layers, and an exchange that computing hides; held against two A100."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.shards import MEAN, STEADY, WORST, rows
from recommender.estimate.data_parallel import COMMUNICATOR, LINK, several
from recommender.estimate.estimate import estimate
from recommender.plan.recommend import recommend
from recommender.warning import texts
from tests.unit.plan.facts import EXAMPLE, LLAMA_8B, RTX_4090

CARDS = replace(several(RTX_4090, 4), simulated=True)


def test_two_cards_took_what_is_worked_out() -> None:
    found = list(rows())
    peaks = [abs(row.peak_error) for row in found]
    assert len(found) == 12
    assert sum(peaks) / len(peaks) <= MEAN and max(peaks) <= WORST
    assert max(abs(row.steady_error) for row in found) <= STEADY


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_a_shard_is_less_than_the_whole_and_its_parts_add_up(method: str) -> None:
    asked = {"method": method, "training.optim": "adamw_torch", "training.per_device_train_batch_size": 1}
    ddp, fsdp = (
        recommend(LLAMA_8B, CARDS, EXAMPLE, overrides=asked | {"launch.strategy": strategy}).estimate
        for strategy in ("ddp", "fsdp")
    )
    assert fsdp.peak.process_bytes < ddp.peak.process_bytes
    assert sum(fsdp.parts.values()) == fsdp.peak.process_bytes
    assert "buckets" not in fsdp.parts and fsdp.parts["gathered"] > 0
    assert fsdp.parts["weights"] < 0.35 * ddp.parts["weights"], "a quarter, and scales of 4 bits whole"
    assert fsdp.parts["optimizer"] == pytest.approx(ddp.parts["optimizer"] / 4, abs=1)
    assert fsdp.parts["context"] == ddp.parts["context"]


def test_offloading_takes_the_frozen_weights_off_the_card_and_then_the_rest() -> None:
    base = recommend(LLAMA_8B, CARDS, EXAMPLE, overrides={"method": "lora", "launch.strategy": "fsdp"}).config
    prices = [
        estimate(
            base.model_copy(update={"launch": base.launch.model_copy(update={"offload": offload})}), LLAMA_8B, CARDS
        )
        for offload in ("none", "params", "all")
    ]
    assert [price.parts["weights"] > 0 for price in prices] == [True, False, False]
    assert [price.parts["optimizer"] > 0 for price in prices] == [True, True, False]
    assert len({price.parts["gathered"] for price in prices}) == 1


def test_gathering_the_next_layer_costs_time_only_where_it_takes_longer_than_computing() -> None:
    asked = {"method": "lora", "launch.strategy": "fsdp", "training.per_device_train_batch_size": 1}
    short = recommend(LLAMA_8B, CARDS, EXAMPLE, overrides=asked | {"training.gradient_accumulation_steps": 4})
    one = recommend(
        LLAMA_8B,
        RTX_4090,
        EXAMPLE,
        overrides={
            "method": "lora",
            "training.per_device_train_batch_size": 1,
            "training.gradient_accumulation_steps": 16,
        },
    )
    assert short.estimate.time is not None and one.estimate.time is not None
    exchanged = 3 / 4 * 4 * (2 * one.estimate.parts["weights"] + one.estimate.parts["gradients"]) / LINK
    computed = one.estimate.time.step_seconds / 4
    assert exchanged > computed, "a card without a link of its own waits for weights"
    assert short.estimate.time.step_seconds == pytest.approx(exchanged, rel=1e-3)


def test_a_plan_of_shards_says_so_and_no_single_card_is_said_to_do() -> None:
    plan = recommend(LLAMA_8B, CARDS, EXAMPLE, overrides={"launch.strategy": "fsdp"})
    said = [text for text in texts(plan.warnings) if "share the rows" in text]
    assert said and "each with a shard of the model" in said[0] and "enough" not in said[0]
    assert plan.estimate.parts["context"] >= COMMUNICATOR
