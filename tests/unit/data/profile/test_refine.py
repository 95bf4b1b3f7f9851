"""The first estimate grows exact as rows are read: within its intervals on the way, the truth at the end."""

from __future__ import annotations

from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from recommender.config.schema import Data
from recommender.data import load
from recommender.data.load import profile_data
from recommender.data.profile import first_look, refine
from recommender.data.profile.collect import RowStats
from recommender.data.profile.first_look import FirstLook
from recommender.data.profile.intervals import Interval
from recommender.data.profile.refine import Refined, Refiner
from recommender.model.spec import ModelSpec
from tests.unit.data.profile.test_first_look import ROWS, written

EVERYONE = sorted(int(Random(3).lognormvariate(5, 0.7)) for _ in range(20_000))
"""Short rows first: what has been read is unlike what is left."""


def look_at(rows: list[int], everywhere: bool = True) -> FirstLook:
    """A look at these rows of EVERYONE, of each of which the second half is trained."""
    lengths = [EVERYONE[i] for i in rows]
    profile = SimpleNamespace(
        lengths=lengths,
        rows=len(rows),
        spans=[place for length in lengths for place in (length // 2, length)],
        span_start=list(range(len(rows) + 1)),
        rows_cut=lambda limit: sum(length > limit for length in lengths),
    )
    dataset = cast("Any", SimpleNamespace(profile=profile))
    in_all = Interval(20_000.0, 19_500.0, 20_500.0) if everywhere else Interval(15_000.0, 400.0, None)
    return FirstLook(dataset, in_all, everywhere, [(0, i) for i in rows] if everywhere else ())


def read_up_to(stats: RowStats, row: int) -> None:
    for i in range(len(stats.lengths), row):
        stats.index.add(0, i, i, i + 1, i)
        stats.lengths.append(EVERYONE[i])
        stats.spans.extend((EVERYONE[i] // 2, EVERYONE[i]))
        stats.span_start.append(i + 1)


def truth(limit: int) -> tuple[float, float, float]:
    kept = [min(length, limit) for length in EVERYONE]
    trained = sum(end - min(length // 2, limit) for end, length in zip(kept, EVERYONE, strict=True))
    return EVERYONE[19_799], sum(length > limit for length in EVERYONE) / 20_000, trained / sum(kept)


@pytest.mark.slow
@pytest.mark.parametrize("reached", [1, 4_000, 14_000, 19_000])
def test_on_the_way_the_truth_lies_in_the_intervals(reached: int) -> None:
    rng = Random(7)
    held = [0, 0, 0, 0]
    stats = RowStats()
    read_up_to(stats, reached)
    wanted = truth(450)
    widths = [0.0, 0.0]
    for _ in range(200):
        look = look_at(rng.sample(range(20_000), 500))
        found = Refiner(look, stats, [20_000], lambda _: None).refined()
        told = (found.quantile(0.99), found.rows_cut_share(450), found.trained_share(450), found.rows)
        for number, (interval, true) in enumerate(zip(told, (*wanted, 20_000), strict=True)):
            held[number] += interval.low - 1e-9 <= true and (interval.high is None or true <= interval.high + 1e-9)
        for which, one in enumerate((look, found)):
            widths[which] += (one.rows_cut_share(450).high or 1) - one.rows_cut_share(450).low
    assert min(held) >= 186, held
    assert widths[1] <= 1.02 * widths[0]
    assert (found.rows.high or 0) - found.rows.low <= 1000
    if reached == 19_000:
        # All rows that are cut stand at the end, so what has been read says little of them.
        assert widths[1] < 0.95 * widths[0]


@pytest.mark.parametrize("everywhere", [True, False])
def test_at_the_end_nothing_is_estimated(everywhere: bool) -> None:
    look = look_at(Random(1).sample(range(20_000), 500) if everywhere else list(range(500)), everywhere)
    stats = RowStats()
    refiner = Refiner(look, stats, [20_000], lambda _: None)
    for row in (1, 300, 20_000):
        read_up_to(stats, row)
        found = refiner.refined()
    p99, cut, trained = truth(450)
    assert found.rows.value == 20_000 and found.so_far.rows == 20_000
    assert found.quantile(0.99)[:2] == (p99, p99)
    for interval, true in ((found.rows_cut_share(450), cut), (found.trained_share(450), trained)):
        assert interval == pytest.approx((true, true, true), rel=0.02 if everywhere else 1e-9)
    assert found.rows_cut(450) == round(20_000 * cut)


def test_the_first_rows_of_a_packed_file_say_more_and_more() -> None:
    look = look_at(list(range(500)), everywhere=False)
    stats = RowStats()
    read_up_to(stats, 10_000)
    found = Refiner(look, stats, [20_000], lambda _: None).refined()
    assert list(found.rows) == [20_000, 10_000, None]
    known = sum(EVERYONE[i] > 140 for i in range(10_000)) / 10_000
    assert found.rows_cut_share(140).value == pytest.approx(known)
    assert found.quantile(0.5).value == pytest.approx(EVERYONE[4_999], abs=1)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_large_file_is_told_better_while_it_is_read(
    tmp_path: Path, chatml: ModelSpec, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(load, "WORTH_IT", 1000)
    monkeypatch.setattr(load, "PACKED_WORTH_IT", 1000)
    monkeypatch.setattr(first_look, "WANTED", 400)
    monkeypatch.setattr(refine, "EVERY_SECONDS", 0.0)
    looks: list[FirstLook] = []
    path = written(tmp_path / name, [*ROWS, *ROWS[:50], *({"instruction": "no answer"} for _ in range(3))])
    data = Data(train=[str(path)], skip_bad_rows=True)
    exact = profile_data(data, model=chatml, on_first_look=looks.append, on_refined=looks.append).profile
    better = [look for look in looks if isinstance(look, Refined)]
    assert len(better) == len(looks) - 1 >= 7
    first, last = looks[0], better[-1]
    rows = [look.so_far.rows for look in better]
    assert rows == sorted(rows) and len(set(rows)) >= 7
    assert last.so_far.rows > 1500 and last.dataset is first.dataset
    assert last.quantile(0.99).low <= exact.quantile(0.99)
    assert abs(last.rows.value - exact.rows) < 0.05 * exact.rows


def test_it_is_told_once_a_second() -> None:
    stats = RowStats()
    told: list[Refined] = []
    now = [0.0]
    refiner = Refiner(look_at([5, 9]), stats, [20_000], told.append, clock=lambda: now[0])
    refiner.progress()
    for step in range(1, 60):
        now[0] = step / 10
        read_up_to(stats, step)
        refiner.progress()
    assert [look.so_far.rows for look in told] == [10, 20, 30, 40, 50]
