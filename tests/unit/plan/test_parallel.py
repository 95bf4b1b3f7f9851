"""Several cards: the same optimizer steps in a share of the time, a little more memory, and never trained here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from presets.errors import InputError
from recommender.estimate.data_parallel import named_cards, several, shared, split_count
from recommender.plan.edit import replan
from recommender.plan.recommend import recommend
from recommender.rules.stages.sft import SFT_RULES
from recommender.warning import texts
from tests.unit.plan.facts import CPU, EXAMPLE, LLAMA_8B, RTX_4090, SMOLLM, rows


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
    assert any("share the rows" in warning and enough in warning for warning in texts(more.warnings))


def test_cards_that_do_not_hold_the_model_one_by_one_are_not_enough() -> None:
    plan = recommend(LLAMA_8B, several(RTX_4090, 2), EXAMPLE, overrides={"method": "full"})
    assert plan.estimate.fits == "no"
    assert any("share the rows" in warning and "enough" not in warning for warning in texts(plan.warnings))


def test_more_cards_than_rows_of_a_step() -> None:
    plan = recommend(SMOLLM, several(RTX_4090, 8), rows(50, 100))
    assert plan.config.training.effective_batch_size == 1
    assert set(plan.reasons) >= {key for rule in SFT_RULES.rules for key in rule.keys}


def test_an_edit_is_priced_on_all_cards() -> None:
    plan = recommend(LLAMA_8B, several(RTX_4090, 2), EXAMPLE)
    edited = replan(plan, {"training.num_train_epochs": 2})
    assert plan.estimate.time is not None and edited.estimate.time is not None
    assert plan.estimate.time.steps is not None
    assert edited.estimate.time.steps == 2 * plan.estimate.time.steps


def test_what_is_added_to_one_card_is_as_it_is_written_down() -> None:
    """The gradients once more in buckets, 400 MiB for NCCL's channels, a ring of 10 GB/s, and a fifth on top."""
    one = recommend(LLAMA_8B, RTX_4090, EXAMPLE).estimate
    four = shared(one, 4)
    buckets, channels = one.parts["gradients"], 400 * 2**20
    assert buckets > 0 and four.parts["buckets"] == buckets
    assert four.parts["context"] == one.parts["context"] + channels
    grown = ("allocated_bytes", "reserved_bytes", "low_bytes", "process_bytes", "high_bytes")
    more = [getattr(four.peak, name) - getattr(one.peak, name) for name in grown]
    assert more == [buckets] * 3 + [buckets + channels] * 2
    assert one.time is not None and four.time is not None and one.time.steps is not None
    exchange = 2 * 3 / 4 * buckets / 10e9
    assert four.time.step_seconds == pytest.approx(one.time.step_seconds / 4 + exchange)
    assert four.time.tokens_per_second * four.time.step_seconds == pytest.approx(
        one.time.tokens_per_second * one.time.step_seconds
    )
    assert one.time.total_seconds is not None and one.time.low_seconds is not None and one.time.high_seconds is not None
    exchanges = one.time.steps * exchange
    assert four.time.total_seconds == pytest.approx(one.time.total_seconds / 4 + exchanges)
    assert four.time.low_seconds == pytest.approx(one.time.low_seconds / 4 + exchanges)
    assert four.time.high_seconds == pytest.approx(1.2 * (one.time.high_seconds / 4 + exchanges))


def test_cards_fit_only_up_to_the_upper_end_of_each() -> None:
    one = recommend(LLAMA_8B, RTX_4090, EXAMPLE).estimate
    most = shared(one, 2).peak.most_bytes
    assert [shared(replace(one, free_bytes=most - less), 2).fits for less in (0, 1)] == ["yes", "tight"]


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_of_a_cpu_share_steps_memory_and_cores(processes: int) -> None:
    asked = {"launch.processes": processes, "method": "lora", "training.per_device_train_batch_size": 1}
    more = recommend(SMOLLM, CPU, rows(500, 100), overrides=asked)
    one = recommend(SMOLLM, CPU, rows(500, 100), overrides=asked | {"launch.processes": "auto"})
    assert more.config.training.effective_batch_size * processes == one.config.training.effective_batch_size
    assert more.config.training.learning_rate == one.config.training.learning_rate
    assert one.estimate.time is not None and more.estimate.time is not None
    assert more.estimate.time.steps == one.estimate.time.steps
    assert more.estimate.time.step_seconds == one.estimate.time.step_seconds
    assert more.estimate.free_bytes == CPU.free_bytes // processes
    assert more.estimate.parts["context"] == one.estimate.parts["context"]
    assert f"× {processes} processes = " in more.reasons["training.gradient_accumulation_steps"].why
    (said,) = [warning for warning in more.warnings if warning.code == "processes_on_cpu"]
    assert said.text.startswith(f"{processes} processes share this machine's cores and memory")
