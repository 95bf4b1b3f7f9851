"""A data set that was opened before is there at once, and only while nothing of it has changed."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from recommender.config.schema import Data, Source
from recommender.data import load
from recommender.data.dataset import DataSet
from recommender.data.profile import cache
from recommender.data.profile.collect import Profiler
from recommender.data.profile.document import document
from recommender.model.spec import ModelSpec
from recommender.warning import texts

ROWS = [{"instruction": f"Ask {i}", "output": f"Say {i % 5}\x07"} for i in range(40)]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that rows were really gone through."""
    seen: list[int] = []
    run = Profiler.run

    def counted(self: Profiler, *arguments: Any) -> Any:
        seen.append(1)
        return run(self, *arguments)

    monkeypatch.setattr(Profiler, "run", counted)
    return seen


def write(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n", encoding="utf-8")
    return str(path)


def all_of(dataset: DataSet) -> list[Any]:
    rows = [(dataset.tokens(i), dataset.findings(i), dataset.where(i)) for i in range(len(dataset))]
    return [document(dataset.profile, 20), rows]


def test_the_second_opening_reads_no_row_and_says_the_same(
    tmp_path: Path, chatml: ModelSpec, passes: list[int]
) -> None:
    data = Data(train=[write(tmp_path / "a.jsonl", ROWS)])
    first, second = (load.profile_data(data, model=chatml) for _ in range(2))
    assert all_of(first) == all_of(second)
    assert len(passes) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"train_on": "all"},
        {"template": "alpaca"},
        {"columns": {"instruction": "output", "output": "instruction"}},
        {"weight": 2.0},
        {"rows": [*ROWS[:-1], {"instruction": "Ask 39", "output": "Say other"}]},
    ],
)
def test_what_changes_the_tokens_is_read_again(
    tmp_path: Path, chatml: ModelSpec, passes: list[int], change: dict[str, Any]
) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    before = all_of(load.profile_data(Data(train=[path]), model=chatml))
    write(tmp_path / "a.jsonl", change.pop("rows", ROWS))
    source = Source(path=path, weight=change.pop("weight", 1.0))
    after = all_of(load.profile_data(Data(train=[source], **change), model=chatml))
    assert (len(passes), before == after) == (2, False)


def test_a_damaged_or_forbidden_cache_is_no_trouble(
    tmp_path: Path, chatml: ModelSpec, passes: list[int], own_profiles: Path
) -> None:
    data = Data(train=[write(tmp_path / "a.jsonl", ROWS)])
    expected = all_of(load.profile_data(data, model=chatml))
    (kept,) = own_profiles.iterdir()
    kept.write_bytes(kept.read_bytes()[:-9])
    assert all_of(load.profile_data(data, model=chatml)) == expected
    kept.unlink()
    own_profiles.rmdir()
    own_profiles.write_text("in the way")
    assert all_of(load.profile_data(data, model=chatml)) == expected
    assert len(passes) == 3


def test_the_newest_are_kept_up_to_so_many_bytes(
    tmp_path: Path, chatml: ModelSpec, own_profiles: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [Data(train=[write(tmp_path / f"{i}.jsonl", ROWS[i:])]) for i in range(4)]
    known: list[Path] = []
    for age, data in enumerate(sets[:3]):
        load.profile_data(data, model=chatml)
        (new,) = set(own_profiles.iterdir()) - set(known)
        os.utime(new, (age, age))
        known.append(new)
    # The first is opened again, so it is the second that is the oldest now.
    load.profile_data(sets[0], model=chatml)
    assert len(passes) == 3
    monkeypatch.setattr(cache, "KEPT_BYTES", round(3.5 * known[0].stat().st_size))
    load.profile_data(sets[3], model=chatml)
    left = set(own_profiles.iterdir())
    assert (len(left), {known[0], known[2]} <= left, known[1] in left) == (3, True, False)


def test_two_that_keep_the_same_leave_one_whole_file(
    tmp_path: Path, chatml: ModelSpec, own_profiles: Path, passes: list[int]
) -> None:
    data = Data(train=[write(tmp_path / "a.jsonl", ROWS)])
    with ThreadPoolExecutor(4) as together:
        found = list(together.map(lambda _: all_of(load.profile_data(data, model=chatml)), range(8)))
    assert all(one == found[0] for one in found)
    assert len(list(own_profiles.iterdir())) == 1
    before = len(passes)
    assert all_of(load.profile_data(data, model=chatml)) == found[0]
    assert len(passes) == before


def test_held_out_rows_that_are_trained_on_are_warned_of(tmp_path: Path, chatml: ModelSpec) -> None:
    train = write(tmp_path / "a.jsonl", ROWS)
    held = write(tmp_path / "b.jsonl", [*ROWS[:3], {"instruction": "New", "output": "One"}])
    found = load.profile_data(Data(train=[train], eval=[held]), model=chatml).profile
    assert any("3 of 4 held-out rows are also trained on" in warning for warning in texts(found.warnings))
    apart = load.profile_data(Data(train=[train], eval=[write(tmp_path / "c.jsonl", [{"text": "x"}])]), model=chatml)
    assert not any("held-out" in warning for warning in texts(apart.profile.warnings))
