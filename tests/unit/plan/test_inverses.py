"""What the inverses answer holds, and one more does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from presets.models import load_models
from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig
from recommender.estimate.estimate import estimate
from recommender.estimate.limits import BATCH, LENGTH, RANK, biggest_model, find_limits, largest, smallest_card, told
from recommender.machine.devices import device_from_catalogue
from recommender.memory.learned.missing import learning
from tests.unit.memory.cases import lora, qlora
from tests.unit.plan.facts import EXAMPLE, LAPTOP, LLAMA_8B, RTX_4090, SMOLLM

CONFIG = qlora(data__max_length=2048, training__per_device_train_batch_size=2)


def fits(changes: dict[str, Any], config: FinetuneConfig = CONFIG) -> bool:
    return estimate(with_values(config, changes), LLAMA_8B, RTX_4090).fits == "yes"


@pytest.mark.parametrize("border", [1, 2, 3, 1000, 4095, 4096, 9000])
def test_bisection_finds_the_border(border: int) -> None:
    assert largest(lambda number: number <= border, 1, 4096) == min(border, 4096)


def test_bisection_says_when_not_even_the_least_fits() -> None:
    assert largest(lambda _: False, 1, 4096) is None


def test_one_more_row_token_or_rank_does_not_fit() -> None:
    limits = find_limits(CONFIG, LLAMA_8B, RTX_4090)
    assert limits.largest_batch is not None
    assert limits.longest_length is not None
    assert limits.largest_rank is not None
    for key, value in ((BATCH, limits.largest_batch), (LENGTH, limits.longest_length), (RANK, limits.largest_rank)):
        assert fits({key: value})
        assert value in (4096, LLAMA_8B.max_position_embeddings) or not fits({key: value + 1})


def test_the_biggest_model_fits_and_every_bigger_one_does_not() -> None:
    limits = find_limits(CONFIG, LLAMA_8B, RTX_4090)
    parameters = {model.name: model.parameters for model in load_models()}
    assert limits.biggest_model is not None
    assert limits.biggest_model_parameters == parameters[limits.biggest_model] > LLAMA_8B.total_parameters


def test_the_smallest_card_holds_the_plan_and_a_smaller_one_does_not() -> None:
    found = smallest_card(CONFIG, LLAMA_8B)
    assert found is not None
    name, size = found
    assert estimate(CONFIG, LLAMA_8B, device_from_catalogue(name)).fits == "yes"
    smaller = replace(device_from_catalogue(name), free_bytes=int(size * 0.7))
    assert estimate(CONFIG, LLAMA_8B, smaller).fits != "yes"


def test_cards_without_bfloat16_do_not_hold_a_bfloat16_plan() -> None:
    small = lora(data__max_length=512)
    found = smallest_card(small, SMOLLM)
    assert found is not None
    assert device_from_catalogue(found[0]).bf16


def test_a_plan_that_fits_nowhere_has_no_card() -> None:
    assert smallest_card(qlora(data__max_length=10_000_000), LLAMA_8B) is None


def test_nothing_fits_when_the_weights_alone_do_not() -> None:
    limits = find_limits(lora(), LLAMA_8B, LAPTOP, EXAMPLE)
    assert (limits.largest_batch, limits.longest_length, limits.largest_rank) == (None, None, None)
    assert limits.biggest_model is not None
    assert limits.smallest_card is not None


def test_a_full_fine_tune_has_no_rank() -> None:
    assert find_limits(qlora(method="full", quantization__bits=None), SMOLLM, RTX_4090).largest_rank is None


def test_limits_are_told_in_words() -> None:
    words = dict(told(find_limits(CONFIG, LLAMA_8B, RTX_4090)))
    assert words["smallest card"].endswith("GiB)")
    nothing = dict(told(find_limits(qlora(data__max_length=10_000_000), LLAMA_8B, LAPTOP)))
    assert nothing["largest batch"] == nothing["smallest card"] == nothing["largest r"] == "none surely fits"
    full = dict(told(find_limits(qlora(method="full", quantization__bits=None), SMOLLM, RTX_4090)))
    assert full["largest r"] == "no adapter"


def test_limits_of_a_plan_have_no_other_class_learned() -> None:
    asked: list[str] = []
    with learning(lambda workload: asked.append(workload.model.name)):
        assert biggest_model(CONFIG, RTX_4090) is not None
    assert asked == []
