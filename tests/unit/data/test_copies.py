"""Rows with exact copies: what is held out of them, and that the plan counts what the worker will do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data import split as split_module
from recommender.data.profile.synthetic import synthetic_profile
from recommender.data.split import contents_by_copies, count_held_out, held_out_contents, wanted_rows
from recommender.data.split import split as split_rows
from recommender.plan.recommend import recommend
from recommender.steps import packing_document, plan_steps
from recommender.warning import codes, texts
from tests.unit.data.conftest import Profile
from tests.unit.plan.facts import RTX_4090, SMOLLM

ROWS = [{"instruction": f"Question {i}", "output": f"Answer {i}"} for i in range(60)]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.floats(0, 0.99),
    st.integers(0, 5),
)
def test_never_more_than_the_share_is_held_out(copies: list[int], fraction: float, seed: int) -> None:
    digests = [content * 977 for content, times in enumerate(copies) for _ in range(times)]
    held = held_out_contents(digests, fraction, seed)
    count = sum(Counter(digests)[content] for content in held)
    assert count <= wanted_rows(len(digests), fraction)
    assert count == count_held_out(digests, contents_by_copies(digests), fraction, seed)
    assert not held or len(held) < len(copies)


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=60),
    st.integers(1, 4),
    st.floats(0, 0.99),
    st.integers(0, 5),
)
def test_rows_that_are_taken_several_times_are_counted_as_they_are_split(
    copies: list[int], weight: int, fraction: float, seed: int
) -> None:
    digests = [content * 977 for content, times in enumerate(copies) for _ in range(times * weight)]
    held = held_out_contents(digests, fraction, seed)
    count = count_held_out(digests, contents_by_copies(digests), fraction, seed)
    assert count == sum(digest in held for digest in digests)


@pytest.mark.parametrize(
    ("digests", "odd"), [([*range(1000)], 101), ([*range(995), *range(5)], 101), ([*range(500)] * 2, 100)]
)
def test_after_the_first_question_rows_are_neither_counted_nor_ordered(
    digests: list[int], odd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit of the seed is priced while the person waits, and there may be a million rows."""
    found = replace(synthetic_profile(1000, 100), digests=digests)
    assert found.held_out_by_split(0.05, 42) == 50
    monkeypatch.setattr(split_module, "Counter", None)
    monkeypatch.setattr(split_module, "_order", None)
    assert [found.held_out_by_split(0.05, seed) for seed in (1, 2)] == [50, 50]
    assert found.held_out_by_split(0.101, 42) == odd


def test_nothing_is_counted_where_nothing_is_to_be_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_module, "Counter", None)
    found = replace(synthetic_profile(1000, 100), digests=[*range(500)] * 2)
    assert found.held_out_by_split(0, 42) == 0


@given(st.integers(1, 200), st.floats(0, 0.99), st.integers(0, 5))
def test_of_distinct_rows_the_share_is_met_exactly(rows: int, fraction: float, seed: int) -> None:
    rng = Random(seed)
    digests = [rng.getrandbits(64) for _ in range(rows)]
    assert len(held_out_contents(digests, fraction, seed)) == wanted_rows(rows, fraction)


@pytest.mark.parametrize("copies", [[500], [250, 250], [499, 1], [100] * 5, [30] * 15 + [1] * 10, [3] * 20, [1] * 60])
def test_the_plan_counts_what_the_worker_holds_out(profile: Profile, copies: list[int]) -> None:
    dataset = profile([row for row, times in zip(ROWS, copies, strict=False) for _ in range(times)])
    plan = recommend(SMOLLM, RTX_4090, dataset.profile)
    train, held = split_rows(dataset.digests, plan.config.data.eval_fraction, plan.config.training.seed)
    steps = plan_steps(plan.config, dataset.profile)
    assert steps is not None
    assert (steps.train_rows, steps.eval_rows) == (len(train), len(held))
    assert plan.estimate.time is not None
    assert plan.estimate.time.steps == steps.total
    why = plan.reasons["data.eval_fraction"].why
    assert (f"rows, {len(held)}, " in why) == bool(held)
    assert bool(steps.evaluations) == bool(held)
    assert ("nothing_held_out" in codes(plan.warnings)) != bool(held)


def test_many_copies_are_warned_of(profile: Profile) -> None:
    def told(copies: int) -> list[str]:
        found = profile([*ROWS, *ROWS[:1] * copies]).profile
        return [one.text for one in recommend(SMOLLM, RTX_4090, found).warnings if one.code == "copies"]

    assert told(2) == []
    assert told(20)[0].startswith("20 of 80 rows are exact copies of earlier ones:")
    one = profile([*ROWS[:11], ROWS[0]]).profile
    assert any(
        warning.startswith("1 of 12 rows is an exact copy of an earlier one:")
        for warning in texts(recommend(SMOLLM, RTX_4090, one).warnings)
    )


@pytest.mark.parametrize("packing", [True, False])
def test_an_epoch_has_the_plans_steps_on_the_data_screen_too(profile: Profile, packing: bool) -> None:
    found = profile([*ROWS, *ROWS[:10]]).profile
    plan = recommend(SMOLLM, RTX_4090, found, overrides={"data.packing": packing})
    steps = plan_steps(plan.config, found)
    assert steps is not None
    document = packing_document(found, plan.config)
    assert document["steps_packed" if packing else "steps"] == steps.per_epoch
    assert document["rows_in_step_packed"] <= 63
