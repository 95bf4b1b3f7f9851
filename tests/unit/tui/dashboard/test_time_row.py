"""The plan's row of time in every width: whole parts or none, the speed and the adapter kept longest."""

from __future__ import annotations

from dataclasses import replace

from recommender.plan.recommend import recommend
from tests.unit.plan.facts import EXAMPLE, LLAMA_8B, RTX_4090
from tui.screens.check.text import confirmation
from tui.screens.plan.text import time_row, verdict_parts


def test_parts_are_left_out_whole_and_speed_and_adapter_stay() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE)
    wide = time_row(plan, None, 200).plain
    assert all(word in wide for word in (" with evaluation", " steps", " tokens", " tok/s", "   adapter "))
    before = len(wide)
    for width in range(len(wide), 68, -1):
        told = time_row(plan, None, width).plain
        assert len(told) <= min(width, before)
        assert " tok/s" in told
        assert "MiB" in told
        before = len(told)


def test_a_price_does_not_take_away_that_evaluation_is_counted() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE)
    width = len(time_row(plan, None, 200).plain)
    priced = time_row(plan, 0.4, width).plain
    assert " with evaluation" in priced
    assert "about $" in priced


def test_what_is_little_to_spare_is_not_nothing() -> None:
    estimate = recommend(LLAMA_8B, RTX_4090, EXAMPLE).estimate
    close = replace(estimate, free_bytes=estimate.peak.process_bytes + 40 * 2**20)
    assert "  40 MiB to spare" in [text for text, _ in verdict_parts(close)]


def test_one_step_is_a_step_and_gives_way_like_steps() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"training.max_steps": 1, "training.warmup_steps": 0})
    wide = time_row(plan, None, 200).plain
    assert "   1 step " in wide and "1 steps" not in wide
    assert "1 step" not in time_row(plan, None, len(wide) - 20).plain
    assert "start " in confirmation(plan) and ", 1 step," in confirmation(plan)


def test_a_time_at_the_measured_pace_is_called_so() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE)
    time = plan.estimate.time
    assert time is not None and "measured" not in time_row(plan, None, 200).plain
    there = replace(plan, estimate=replace(plan.estimate, time=replace(time, basis="measured")))
    assert " at the measured pace, with evaluation" in time_row(there, None, 200).plain
