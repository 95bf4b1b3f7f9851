"""Near-identical rows: found, each with the row that it is like, and nothing else; cancellable."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from recommender.data.load import Cancelled
from recommender.data.near import near_duplicates
from tests.unit.data.conftest import Profile

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]


def sentence(rng: Random, count: int = 60) -> str:
    return " ".join(rng.choices(WORDS, k=count))


def row(question: str, answer: str) -> dict[str, Any]:
    return {"instruction": question, "output": answer}


def test_rows_with_a_word_changed_are_found_with_their_earlier_row(profile: Profile) -> None:
    rng = Random(4)
    rows = [row(sentence(rng), sentence(rng)) for _ in range(120)]
    changed = rows[7]["output"].split()
    changed[30] = "elsewhere"
    rows[50] = row(rows[7]["instruction"], " ".join(changed))
    rows[80] = row(rows[20]["instruction"].upper(), rows[20]["output"].replace(" ", ", ") + "!")
    rows[90] = rows[33]
    assert near_duplicates(profile(rows)) == {50: 7, 80: 20}


def test_rows_that_share_half_are_not_alike(profile: Profile) -> None:
    rng = Random(5)
    rows = [row(sentence(rng), sentence(rng)) for _ in range(40)]
    rows += [row(first["instruction"], sentence(rng)) for first in rows]
    assert near_duplicates(profile(rows)) == {}


def test_other_scripts_and_short_rows(profile: Profile) -> None:
    long = "今天天气很好，我们一起去公园散步吧。你觉得怎么样？我想带上相机拍几张照片，然后在湖边的小店里喝一杯热茶。"
    rows = [row(long, long[::-1]), row(long, long[::-1] + "好"), row("a", "b"), row("a", "c"), row("好", "不")]
    assert near_duplicates(profile(rows)) == {1: 0}


def test_it_says_how_far_it_is_and_can_be_cancelled(profile: Profile) -> None:
    rng = Random(6)
    dataset = profile([row(sentence(rng, 5), sentence(rng, 5)) for _ in range(600)])
    told: list[tuple[int, int]] = []
    near_duplicates(dataset, lambda done, total: told.append((done, total)))
    assert told == [(0, 600), (256, 600), (512, 600)]
    with pytest.raises(Cancelled):
        near_duplicates(dataset, cancelled=lambda: True)
