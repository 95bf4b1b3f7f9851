"""What some rows say of all: drawn evenly from anywhere, and the truth within the intervals that are told."""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.schema import Data
from recommender.data import load
from recommender.data.load import FirstLook, profile_data
from recommender.data.profile import first_look, intervals
from recommender.data.sources.readers import Raw, open_reader
from recommender.data.sources.readers.anywhere import NotAnywhere, draw
from recommender.model.spec import ModelSpec

ROWS = [{"instruction": f"Ask {i}", "output": "word " * (1 + i // 20)} for i in range(2000)]
"""Ordered by length: whoever looks at places rather than at rows sees too many long ones."""


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    match path.suffix:
        case ".json":
            path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        case ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, list(rows[0]))
                table.writeheader()
                table.writerows(rows)
        case ".txt":
            path.write_text("".join(f"{row['instruction']} {row['output']}\n" for row in rows), encoding="utf-8")
        case ".gz":
            with gzip.open(path, "wt", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
        case _:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def columns(path: Path) -> tuple[str, ...]:
    return () if path.suffix == ".txt" else ("instruction", "output")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
def test_every_row_is_as_likely_as_any_other(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, ROWS[::10])
    reader = open_reader(path)
    known = {row.start: row.values for row in reader.rows() if isinstance(row, Raw)}
    times: Counter[int] = Counter()
    for seed in range(30):
        found = draw([(reader, 1.0, columns(path))], 150, 40, Random(seed), time.monotonic() + 60)
        assert len(found.rows) == len({row.start for _, row in found.rows if isinstance(row, Raw)}) >= 35
        for _, row in found.rows:
            assert isinstance(row, Raw) and known[row.start] == row.values == reader.read(row.start, row.end)
            times[row.start] += 1
        low, high = (found.rows_in_all[0] + sign * 4 * found.rows_in_all[1] for sign in (-1, 1))
        assert low <= 200 <= high
    starts = sorted(known)
    parts = [sum(times[start] for start in starts[first : first + 50]) for first in (0, 50, 100, 150)]
    # About 300 in each quarter of the file, from the shortest rows to the longest; ±5 standard deviations.
    assert all(abs(part - sum(parts) / 4) < 5 * (sum(parts) * 3 / 16) ** 0.5 for part in parts), parts


def test_weights_make_rows_likelier(tmp_path: Path) -> None:
    readers = [open_reader(written(tmp_path / f"{name}.jsonl", ROWS[:400])) for name in "ab"]
    found = draw([(readers[0], 3.0, ()), (readers[1], 1.0, ())], 60, 200, Random(1), time.monotonic() + 60)
    share = sum(number == 0 for number, _ in found.rows) / len(found.rows)
    assert 0.6 < share < 0.88


def test_a_table_with_line_ends_in_its_cells_is_read_from_its_start(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", [{"instruction": "a\nb\nc", "output": f"d\n\n{i}"} for i in range(300)])
    with pytest.raises(NotAnywhere):
        draw([(open_reader(path), 1.0, ("instruction", "output"))], 20, 100, Random(0), time.monotonic() + 60)


def test_intervals_are_the_published_ones() -> None:
    # Clopper and Pearson's interval for 20 of 2000, as R's binom.test gives it.
    assert intervals.share(20, 2000) == pytest.approx((0.01, 0.0061187, 0.0154021), abs=1e-7)
    assert intervals.share(0, 10) == pytest.approx((0, 0, 0.3084971), abs=1e-6)
    assert intervals.binomial_cdf(3, 10, 0.3) == pytest.approx(0.6496107184)
    # Hahn and Meeker, Statistical Intervals: a distribution-free interval of a median of 100 values is 40 to 61.
    assert intervals.quantile(range(1, 101), 0.5)[1:] == (40, 61)
    assert intervals.quantile(range(1, 101), 0.99).high is None


@pytest.mark.parametrize(("q", "limit"), [(0.99, 580), (0.5, 450)])
def test_the_truth_lies_in_the_interval_as_often_as_is_said(q: float, limit: int) -> None:
    rng = Random(7)
    everyone = sorted(int(rng.lognormvariate(5, 0.7)) for _ in range(20_000))
    truth = everyone[int(q * len(everyone)) - 1]
    cut = sum(length > limit for length in everyone) / len(everyone)
    held = [0, 0]
    for _ in range(200):
        drawn = sorted(rng.sample(everyone, 500))
        of_quantile = intervals.quantile(drawn, q)
        of_share = intervals.share(sum(length > limit for length in drawn), 500)
        held[0] += of_quantile.low <= truth <= (of_quantile.high or truth)
        held[1] += of_share.low <= cut <= (of_share.high or 1)
    assert min(held) >= 186, held


def looked_at(monkeypatch: pytest.MonkeyPatch, path: Path, model: ModelSpec, **settings: Any) -> FirstLook:
    """The first look at a file that is taken for a large one."""
    monkeypatch.setattr(load, "WORTH_IT", 1000)
    monkeypatch.setattr(load, "PACKED_WORTH_IT", 1000)
    monkeypatch.setattr(load, "UNPACKED_AT_FIRST", 250_000)
    monkeypatch.setattr(first_look, "WANTED", 400)
    monkeypatch.setattr(first_look, "DRAWING_SECONDS", 60)
    monkeypatch.setattr(first_look, "TOKENISING_SECONDS", 60)
    looks: list[FirstLook] = []
    exact = profile_data(Data(train=[str(path)], **settings), model=model, on_first_look=looks.append).profile
    assert len(looks) == 1
    look = looks[0]
    sample = look.dataset.sample(3, 64)
    assert sample.trained > 0 and "".join(piece.text for piece in sample.pieces) == sample.text
    if look.everywhere:
        for interval, truth in (
            (look.quantile(0.99), exact.quantile(0.99)),
            (look.rows_cut_share(200), exact.rows_cut(200) / exact.rows),
            (look.trained_share(200), exact.trained_at(200) / exact.tokens_at(200)),
            (look.total_tokens(), exact.total_tokens),
            (look.rows, exact.rows),
        ):
            assert interval.low <= truth and (interval.high is None or truth <= interval.high)
    return look


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_the_exact_figures_lie_in_what_was_told_first(
    tmp_path: Path, chatml: ModelSpec, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    look = looked_at(monkeypatch, written(tmp_path / name, ROWS), chatml)
    assert look.everywhere and 380 <= look.drawn <= 400


def test_a_packed_file_is_looked_at_before_it_is_unpacked(
    tmp_path: Path, chatml: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = Random(3)
    rows = [{"instruction": f"Ask {rng.random()}", "output": f"{rng.random()} " * 5} for _ in range(6000)]
    look = looked_at(monkeypatch, written(tmp_path / "a.jsonl.gz", rows), chatml)
    assert not look.everywhere
    assert 3500 < look.rows.value < 7500 and look.rows.high is None


def test_a_broken_file_is_left_to_the_whole_reading(
    tmp_path: Path, chatml: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(ROWS)[:-20], encoding="utf-8")
    with pytest.raises(InputError, match="invalid JSON"):
        looked_at(monkeypatch, path, chatml)


def test_a_second_opening_needs_no_first_look(
    tmp_path: Path, chatml: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.jsonl", ROWS)
    looked_at(monkeypatch, path, chatml)
    looks: list[FirstLook] = []
    profile_data(Data(train=[str(path)]), model=chatml, on_first_look=looks.append)
    assert looks == []
