"""What a run wrote down of its rows, held against those that it would go on with."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.config.schema import Data
from trainer.history.start_event import start_event_field
from trainer.run.folder import RunFolder, append_event
from trainer.worker.loop.same_rows import Contents, require_same_rows

BEGAN = Contents.of(range(100), range(10))
SPLIT, FILES = Data(train=["rows.jsonl"]), Data(train=["rows.jsonl"], eval=["held.jsonl"])


def kinds(folder: RunFolder) -> list[str]:
    return [json.loads(line)["kind"] for line in folder.events.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path)
    append_event(made, "start", contents=asdict(BEGAN))
    return made


@pytest.mark.parametrize(
    ("data", "now", "says", "remedy"),
    [
        (SPLIT, Contents.of(range(101), range(10)), "data has changed .*: 100 then, 101 now", "data.train"),
        (SPLIT, Contents.of([*range(99), 200], range(10)), "100 as before, but other ones", "data.train"),
        (SPLIT, Contents.of(reversed(range(100)), range(10)), "in another order", "data.train"),
        (SPLIT, Contents.of(range(100), range(1, 11)), "split has changed .*10 as before, but", "training.seed"),
        (SPLIT, Contents.of(range(100), range(9)), "split has changed .*10 then, 9 now", "data.eval_fraction"),
        (FILES, Contents.of(range(100), range(9)), "held-out data has changed .*: 10 then, 9 now", "data.eval names"),
    ],
)
def test_what_has_changed_is_said(folder: RunFolder, data: Data, now: Contents, says: str, remedy: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        require_same_rows(folder, data, now)
    assert remedy in (caught.value.remedy or "") and "train anew" in (caught.value.remedy or "")
    assert kinds(folder) == ["start"]


@pytest.mark.parametrize("data", [SPLIT, FILES])
def test_the_same_rows_go_on_without_a_word(folder: RunFolder, data: Data) -> None:
    require_same_rows(folder, data, Contents.of(range(100), range(10)))
    assert kinds(folder) == ["start"]


def test_of_several_lives_the_last_one_counts(folder: RunFolder) -> None:
    """One that had come to no checkpoint began anew, with whatever rows there were."""
    other = replace(BEGAN, rows=7)
    append_event(folder, "start", contents=asdict(other))
    require_same_rows(folder, SPLIT, other)
    with pytest.raises(InputError, match="7 then, 100 now"):
        require_same_rows(folder, SPLIT, BEGAN)


@pytest.mark.parametrize("said", [None, [], {}, {"rows": 100}, {**asdict(BEGAN), "rows_sha256": 5}])
def test_a_run_without_the_record_goes_on_and_says_so(tmp_path: Path, said: object) -> None:
    folder = RunFolder(tmp_path)
    append_event(folder, "start", total_steps=10, contents=said)
    require_same_rows(folder, SPLIT, BEGAN)
    assert kinds(folder) == ["start", "warning"]
    assert "cannot be told" in folder.events.read_text()


def test_the_newest_start_that_tells_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert start_event_field(folder, "contents") is None
    append_event(folder, "start", contents={"rows": 1})
    append_event(folder, "status", contents={"rows": 2})
    append_event(folder, "start", contents={"rows": 3})
    append_event(folder, "start", total_steps=2)
    assert start_event_field(folder, "contents") == {"rows": 3}
