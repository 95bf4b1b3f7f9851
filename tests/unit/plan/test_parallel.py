"""Several cards: the same optimizer steps in a share of the time, a little more memory, and never trained here."""

from __future__ import annotations

import pytest

from presets.errors import InputError
from recommender.estimate.data_parallel import named_cards, several, split_count
from recommender.plan.edit import replan
from recommender.plan.recommend import recommend
from recommender.rules.registry import RULES
from tests.unit.plan.facts import EXAMPLE, LLAMA_8B, RTX_4090, SMOLLM, rows


@pytest.mark.parametrize(
    ("text", "count", "name"),
    [
        ("2x rtx 4090", 2, "rtx 4090"),
        ("4 × A100 80GB", 4, "A100 80GB"),
        ("8*H100", 8, "H100"),
        ("4090", 1, "4090"),
        ("0x L4", 1, "L4"),
        ("2x", 2, ""),
        ("RTX 4090", 1, "RTX 4090"),
    ],
)
def test_how_many_are_asked_for(text: str, count: int, name: str) -> None:
    assert split_count(text) == (count, name)


def test_cards_by_name() -> None:
    two = named_cards("2x 4090")
    assert (two.name, two.count, two.simulated) == ("2 × RTX 4090", 2, True)
    assert two.free_bytes == named_cards("4090").free_bytes
    with pytest.raises(InputError):
        named_cards("2x nothing such")


@pytest.mark.parametrize("cards", [2, 4, 16])
def test_the_same_steps_in_a_share_of_the_time(cards: int) -> None:
    more = recommend(LLAMA_8B, several(RTX_4090, cards), EXAMPLE)
    split = {"per_device_train_batch_size": more.config.training.per_device_train_batch_size}
    one = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides=split)
    assert more.config.training.effective_batch_size * cards == one.config.training.effective_batch_size
    assert more.config.training.learning_rate == one.config.training.learning_rate
    assert one.estimate.time is not None and more.estimate.time is not None
    assert more.estimate.time.steps == one.estimate.time.steps
    assert one.estimate.time.step_seconds / cards <= more.estimate.time.step_seconds
    assert more.estimate.time.step_seconds < 1.1 * one.estimate.time.step_seconds / cards
    assert more.estimate.peak.process_bytes > one.estimate.peak.process_bytes
    assert sum(more.estimate.parts.values()) == more.estimate.peak.process_bytes
    assert f"× {cards} cards = 16 rows" in more.reasons["training.gradient_accumulation_steps"].why
    enough = f"One of the {cards} is enough to train here."
    assert any("share the rows" in warning and enough in warning for warning in more.warnings)


def test_cards_that_do_not_hold_the_model_one_by_one_are_not_enough() -> None:
    plan = recommend(LLAMA_8B, several(RTX_4090, 2), EXAMPLE, overrides={"method": "full"})
    assert plan.estimate.fits == "no"
    assert any("share the rows" in warning and "enough" not in warning for warning in plan.warnings)


def test_more_cards_than_rows_of_a_step() -> None:
    plan = recommend(SMOLLM, several(RTX_4090, 8), rows(50, 100))
    assert plan.config.training.effective_batch_size == 1
    assert set(plan.reasons) >= {key for rule in RULES for key in rule.keys}


def test_an_edit_is_priced_on_all_cards() -> None:
    plan = recommend(LLAMA_8B, several(RTX_4090, 2), EXAMPLE)
    edited = replan(plan, {"training.num_train_epochs": 2})
    assert plan.estimate.time is not None and edited.estimate.time is not None
    assert plan.estimate.time.steps is not None
    assert edited.estimate.time.steps == 2 * plan.estimate.time.steps
