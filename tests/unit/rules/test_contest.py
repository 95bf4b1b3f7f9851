"""The contest's program: it resumes, it refuses to mix plans, and its limits can be missed. It trains nothing here."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.contest import LONGEST, TRAINED_TOKENS, Heat, draw, heat, settings, unchanged
from benchmarks.contest_table import FIRST, GRID, OTHERS, TRIED, Row, after_try, check, grid_names, load, show
from presets.errors import InputError, NoError
from recommender.config.schema import Data
from recommender.data.dataset import DataSet
from recommender.data.load import profile_data
from recommender.machine.facts import Device
from recommender.model.reader import read_model
from recommender.model.spec import ModelSpec
from recommender.rules.rate import to_try

CPU = Device(kind="cpu", name="CPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, bf16=True, cores=1)


def row(who: str, loss: float, seed: int = 1, data: str = "set") -> Row:
    settings = {"training.learning_rate": 1e-4, "lora.r": 16, "training.gradient_accumulation_steps": 4}
    return Row(data, seed, who, loss, 2.0, 60.0, 30, 120, 48, 20_000, "abc", settings)


def finished(ours: float, others: float, grid: float) -> list[Row]:
    tried = {f"{TRIED}{rate:g}": ours + 0.5 for rate in (1e-4, 3e-4)}
    losses = {"ours": ours, **tried, **dict.fromkeys(OTHERS, others), **dict.fromkeys(grid_names(), grid)}
    return [row(who, loss, seed, data) for data in ("a", "b") for seed in (1, 2) for who, loss in losses.items()]


@pytest.fixture(scope="module")
def model(demo_model: Path) -> ModelSpec:
    return read_model(str(demo_model), offline=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contest") / "rows.jsonl"
    lines = [{"instruction": f"Say the number {i}.", "output": "one two three " * (10 + i % 40)} for i in range(400)]
    lines.append({"instruction": "Say it at length.", "output": "word " * 2 * LONGEST})
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("benchmarks.contest.folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def dataset(source: Path, model: ModelSpec) -> DataSet:
    return profile_data(Data(train=[str(source)]), model=model)


@pytest.mark.parametrize(
    ("ours", "others", "grid", "held"),
    [(1.0, 1.1, 1.0, True), (1.0, 1.0, 0.995, True), (1.0, 0.99, 1.0, False), (1.0, 1.1, 0.98, False)],
)
def test_limits(ours: float, others: float, grid: float, held: bool) -> None:
    assert check(finished(ours, others, grid)) is held


def test_a_missing_run_is_a_miss() -> None:
    assert not check(finished(1.0, 1.1, 1.0)[:-1])
    assert not check([one for one in finished(1.0, 1.1, 1.0) if one.data == "a"])
    assert not check([one for one in finished(1.0, 1.1, 1.0) if one.seed == 1])
    assert not check([])


def test_the_plan_of_the_first_rules_is_shown_and_judges_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    worse = [row(FIRST, 9.0, seed, data) for data in ("a", "b") for seed in (1, 2)]
    assert check(finished(1.0, 1.1, 1.0) + worse)
    assert not check(finished(1.0, 1.1, 1.0)[:-1] + worse)
    show(finished(1.0, 1.1, 1.0) + worse)
    assert capsys.readouterr().out.count(FIRST) == 2


def test_of_the_rates_that_are_tried_the_least_loss_counts_of_each_seed() -> None:
    tried = [row(f"{TRIED}{seed}e-4", 1 - 0.1 * seed, seed, "a") for seed in (1, 2)]
    kept = [one for one in finished(1.0, 1.1, 1.0) if one.who != f"{TRIED}0.0001"]
    assert after_try(kept + tried, "a") == pytest.approx([0.9, 0.8])
    assert after_try(kept, "a") == []


def test_a_torn_last_line_is_run_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    line = json.dumps(asdict(row("ours", 1.0)))
    path.write_text(f"{line}\n{line[:40]}", encoding="utf-8")
    assert [one.who for one in load(path)] == ["ours"]


@pytest.mark.model
def test_rows_are_drawn_apart_and_the_same_again(dataset: DataSet, here: Path) -> None:
    train, held, rows, tokens = draw(dataset, "set", 1)
    first = train.read_text(encoding="utf-8")
    kept = held.read_text(encoding="utf-8")
    assert TRAINED_TOKENS <= tokens < TRAINED_TOKENS + LONGEST
    assert rows == len(first.splitlines())
    assert not set(first.splitlines()) & set(kept.splitlines())
    assert "at length" not in first + kept
    other, held, *_ = draw(dataset, "set", 2)
    assert held.read_text(encoding="utf-8") == kept
    assert other.read_text(encoding="utf-8") != first
    assert draw(dataset, "set", 1)[0].read_text(encoding="utf-8") == first


@pytest.mark.model
def test_too_little_data(model: ModelSpec, here: Path, tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text(json.dumps({"instruction": "Hello", "output": "Good day."}), encoding="utf-8")
    with pytest.raises(NoError, match="trained tokens"):
        draw(profile_data(Data(train=[str(path)]), model=model), "few", 1)


@pytest.mark.model
def test_contestants_differ_in_what_they_should(source: Path, model: ModelSpec, here: Path) -> None:
    one = heat(source, 1, model, CPU)
    ours = settings(one.configs["ours"])
    tried = {f"{TRIED}{rate:g}" for rate in to_try(ours["training.learning_rate"])}
    assert set(one.configs) < {"ours", *tried, *OTHERS, *grid_names()}
    assert len(one.configs) == 1 + 2 + len(OTHERS) + len(GRID)
    for rate in GRID:
        theirs = settings(one.configs[f"rate {rate:g}"])
        assert theirs == {**ours, "training.learning_rate": rate}
    batches = {config.training.per_device_train_batch_size for config in one.configs.values()}
    assert batches == {1}, "held-out loss is a mean over micro-batches"
    assert one.configs["TRL"].lora.target_modules == ["q_proj", "v_proj"]
    assert one.configs["Unsloth"].training.max_steps == -(-one.rows // 8)


@pytest.mark.model
def test_another_plan_is_not_mixed_in(source: Path, model: ModelSpec, here: Path) -> None:
    one = heat(source, 1, model, CPU)
    mine = settings(one.configs["ours"])
    same = replace(row("ours", 1.0), data=one.data, rows=one.rows, settings=json.loads(json.dumps(mine)))
    unchanged([one], [same])
    with pytest.raises(InputError, match=r"training\.learning_rate"):
        unchanged([one], [replace(same, settings={**mine, "training.learning_rate": 1e-5})])
    with pytest.raises(InputError, match="rows"):
        unchanged([one], [replace(same, rows=one.rows + 1)])
    unchanged([Heat("another set", 1, 1, 1, {})], [same])
