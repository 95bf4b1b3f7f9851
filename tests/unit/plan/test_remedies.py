from __future__ import annotations

import pytest

from recommender.config.edit import apply
from recommender.estimate.estimate import estimate
from recommender.plan.recommend import recommend
from recommender.plan.remedies import remedies
from recommender.plan.types import Remedy
from tests.unit.plan.facts import CPU, EXAMPLE, LLAMA_8B, RTX_4090, SMOLLM, rows

CHANGES = {
    "method": "lora",
    "data.max_length": 2048,
    "training.per_device_train_batch_size": 4,
    "training.gradient_accumulation_steps": 4,
    "training.gradient_checkpointing": False,
    "lora.r": 64,
}
CONFIG = apply(recommend(LLAMA_8B, RTX_4090, EXAMPLE).config, CHANGES)
PRICE = estimate(CONFIG, LLAMA_8B, RTX_4090, EXAMPLE)


def offered() -> dict[str, Remedy]:
    found = remedies(CONFIG, LLAMA_8B, RTX_4090, EXAMPLE, PRICE)
    return {remedy.label.split()[0]: remedy for remedy in found}


def test_the_plan_is_too_much() -> None:
    assert PRICE.fits == "no"


def test_at_least_these_are_offered() -> None:
    assert {"batch", "gradient", "method", "max_length", "optimizer", "r"} <= set(offered())


@pytest.mark.parametrize(
    ("changes", "order"),
    [
        ({}, "batch, gradient, optimizer, method, r, max_length, batch"),
        (
            {"method": "full", "quantization.bits": None, "training.gradient_checkpointing": True},
            "batch, optimizer, method, activation, max_length, batch",
        ),
    ],
)
def test_they_come_in_the_order_of_what_they_cost_and_all_together_last(changes: dict[str, object], order: str) -> None:
    config = apply(CONFIG, changes)
    found = remedies(config, LLAMA_8B, RTX_4090, EXAMPLE, estimate(config, LLAMA_8B, RTX_4090, EXAMPLE))
    assert ", ".join(remedy.label.split()[0] for remedy in found) == order
    labels = [remedy.label for remedy in found[:-1]]
    together = found[-1].label.split(" + ")
    assert together == labels[: len(together)] and len(together) > 1
    assert found[-1].fits == "yes" and "yes" not in {remedy.fits for remedy in found[:-1]}


def test_each_saves_what_it_says() -> None:
    for remedy in remedies(CONFIG, LLAMA_8B, RTX_4090, EXAMPLE, PRICE):
        after = estimate(apply(CONFIG, remedy.changes), LLAMA_8B, RTX_4090, EXAMPLE)
        assert remedy.saves_bytes == PRICE.peak.process_bytes - after.peak.process_bytes > 0
        assert remedy.fits == after.fits
        assert remedy.costs


def test_a_smaller_batch_keeps_the_effective_one() -> None:
    batch = offered()["batch"]
    assert apply(CONFIG, batch.changes).training.effective_batch_size == 16
    assert "same effective batch" in batch.costs
    assert batch.label.startswith("batch 4×4 → ")


def test_a_shorter_length_says_what_it_cuts() -> None:
    assert "trained tokens" in offered()["max_length"].costs or "cuts nothing" in offered()["max_length"].costs


def test_what_saves_nothing_is_left_out() -> None:
    config = apply(recommend(LLAMA_8B, RTX_4090, EXAMPLE).config, {"per_device_train_batch_size": 1})
    config = apply(config, {"training.gradient_checkpointing": True, "training.optim": "paged_adamw_8bit"})
    found = remedies(config, LLAMA_8B, RTX_4090, EXAMPLE, estimate(config, LLAMA_8B, RTX_4090, EXAMPLE))
    assert not {"batch", "gradient", "optimizer", "method"} & {remedy.label.split()[0] for remedy in found}


def test_when_none_is_enough_alone_several_are_taken_together() -> None:
    huge = apply(CONFIG, {"data.max_length": 16384, "training.per_device_train_batch_size": 16})
    found = remedies(huge, LLAMA_8B, RTX_4090, None, estimate(huge, LLAMA_8B, RTX_4090, None))
    if not any(remedy.fits == "yes" for remedy in found[:-1]):
        assert found[-1].fits == "yes"
        assert " + " in found[-1].label


def test_a_cpu_is_not_offered_what_it_does_not_have() -> None:
    config = apply(recommend(SMOLLM, CPU, rows(200, 300)).config, {"per_device_train_batch_size": 8})
    found = remedies(config, SMOLLM, CPU, rows(200, 300), estimate(config, SMOLLM, CPU, rows(200, 300)))
    assert not {"optimizer", "activation"} & {remedy.label.split()[0] for remedy in found}
