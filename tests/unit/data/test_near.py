"""Near-identical rows: found, each with the row that it is like, and nothing else; cancellable."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from random import Random
from typing import Any

import pytest

from presets.errors import InputError
from recommender.data.formats.recognise import ShapeError
from recommender.data.load import Cancelled
from recommender.data.near_duplicates import near_duplicates
from recommender.data.split import split
from recommender.warning import texts
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
    assert near_duplicates(profile(rows)).earlier == {50: 7, 80: 20}


def test_rows_that_share_half_are_not_alike(profile: Profile) -> None:
    rng = Random(5)
    rows = [row(sentence(rng), sentence(rng)) for _ in range(40)]
    rows += [row(first["instruction"], sentence(rng)) for first in rows]
    assert near_duplicates(profile(rows)).earlier == {}


def test_other_scripts_and_short_rows(profile: Profile) -> None:
    long = "今天天气很好，我们一起去公园散步吧。你觉得怎么样？我想带上相机拍几张照片，然后在湖边的小店里喝一杯热茶。"
    rows = [row(long, long[::-1]), row(long, long[::-1] + "好"), row("a", "b"), row("a", "c"), row("好", "不")]
    assert near_duplicates(profile(rows)).earlier == {1: 0}


def test_it_says_how_far_it_is_and_can_be_cancelled(profile: Profile) -> None:
    rng = Random(6)
    dataset = profile([row(sentence(rng, 5), sentence(rng, 5)) for _ in range(600)])
    told: list[tuple[int, int]] = []
    near_duplicates(dataset, lambda done, total: told.append((done, total)))
    assert told == [(0, 600), (256, 600), (512, 600)]
    with pytest.raises(Cancelled):
        near_duplicates(dataset, cancelled=lambda: True)


def held_out(tmp_path: Path, rows: list[dict[str, Any]]) -> list[str]:
    path = tmp_path / "held.jsonl"
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf-8")
    return [str(path)]


def test_held_out_files_are_compared_with_what_is_trained(profile: Profile, tmp_path: Path) -> None:
    rng = Random(7)
    rows = [row(sentence(rng), sentence(rng)) for _ in range(60)]
    fresh = [row(sentence(rng), sentence(rng)) for _ in range(20)]
    near = row(rows[12]["instruction"], rows[12]["output"] + " more")
    again = row(fresh[3]["instruction"], fresh[3]["output"] + " more")
    held = [*fresh[:10], near, rows[30], *fresh[10:], again, fresh[0], {"instruction": "no answer"}]
    dataset = profile(rows, eval=held_out(tmp_path, held), skip_bad_rows=True)
    facts = dataset.profile.held_out
    assert facts is not None
    assert (facts.rows, facts.copies, facts.also_trained, facts.bad_row_count) == (24, 1, 1, 1)
    assert [warning for warning in texts(dataset.profile.warnings) if "held-out rows" in warning] == [
        "1 of 24 held-out rows is also trained on: eval_loss would look better than it is.",
        "1 of 24 held-out rows is an exact copy of an earlier one of them.",
    ]
    found = near_duplicates(dataset)
    assert found.earlier == {} and found.held_out == {12: (str(tmp_path / "held.jsonl"), 11)}
    assert (found.leaked, found.held_out_copies, found.held_out_rows) == (1, 1, 24)
    dataset.near = found
    assert dataset.next_finding(0, 1, 1000) == 12
    assert dataset.sample(12, 1000).findings == ("nearly the same as a held-out row (held.jsonl, line 11)",)
    assert "1 of 24 held-out rows is nearly the same as a row that is trained on" in found.warnings[0].text
    assert found.warnings[1].text == "1 of 24 held-out rows is nearly the same as an earlier one of them"


def test_near_rows_on_both_sides_of_the_split_are_counted(profile: Profile) -> None:
    rng = Random(8)
    first = [row(sentence(rng), sentence(rng)) for _ in range(50)]
    dataset = profile([*first, *(row(one["instruction"], one["output"] + " more") for one in first)])
    held = set(split(dataset.digests, 0.2, 3)[1])
    across = {i for i in held if (i + 50) % 100 not in held}
    found = near_duplicates(dataset, fraction=0.2, seed=3)
    assert len(found.earlier) == 50
    assert (found.leaked, found.held_out_rows) == (len(across), 20) and across
    assert near_duplicates(dataset).leaked == 0


@pytest.mark.slow
def test_a_row_of_a_megabyte_takes_little_memory(profile: Profile) -> None:
    rng = Random(9)
    book = sentence(rng, 250_000)
    dataset = profile([row("Read", book), row("Read", book + " more")], model=None)
    tracemalloc.start()
    assert near_duplicates(dataset).earlier == {1: 0}
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()


def test_a_bad_row_of_a_held_out_file_is_a_stop_until_it_is_left_out(profile: Profile, tmp_path: Path) -> None:
    held = held_out(tmp_path, [row("Q", "A"), {"instruction": "no answer"}])
    found = profile([row(f"Ask {i}", f"Say {i}") for i in range(30)], eval=held).profile
    assert found.bad_row_count == 1 and found.bad_rows[0].line == 2
    assert "1 row of the held-out files cannot be used; the first" in found.stops[0].text
    found = profile([row(f"Ask {i}", f"Say {i}") for i in range(30)], eval=held, skip_bad_rows=True).profile
    assert not found.stops and found.skipped_rows == 1
    assert "Left out of the held-out files because they cannot be used: 1 row." in texts(found.warnings)


def test_held_out_files_of_another_shape_are_refused_as_such(profile: Profile, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Of the held-out data .*held.jsonl: the rows have no known shape") as caught:
        profile([row(f"Ask {i}", f"Say {i}") for i in range(30)], eval=held_out(tmp_path, [{"foo": "Q", "bar": "A"}]))
    assert not isinstance(caught.value, ShapeError)
