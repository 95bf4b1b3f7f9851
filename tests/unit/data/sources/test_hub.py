"""Data sets of the hub: a configuration and a split become Parquet files here, and are found again offline."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from presets.datasets import load_datasets
from presets.errors import InputError
from recommender.config.data_paths import names_hub_dataset
from recommender.config.io import resolve
from recommender.config.schema import Data, FinetuneConfig, Source
from recommender.data.load import Cancelled, profile_data
from recommender.data.sources import hub
from recommender.model.spec import ModelSpec
from tests.fixtures.fake_datasets import fake_datasets


def parquet(count: int) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    rows = [{"instruction": f"Ask {i}", "output": f"Say {i} of {count}"} for i in range(count)]
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A hub with two data sets; what it was asked."""
    held = {
        "org/one": {"default/train/0000.parquet": parquet(30), "default/train/0001.parquet": parquet(31)},
        "org/many": {
            "small/train/0000.parquet": parquet(25),
            "small/test/0000.parquet": parquet(24),
            "large/partial-train/0000.parquet": parquet(40),
        },
    }
    requests: list[str] = []
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "_found", {})
    with fake_datasets(held, requests) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield requests


def rows(train: Any, model: ModelSpec) -> int:
    return profile_data(Data.model_validate({"train": [train]}), model=model).profile.rows


@pytest.mark.parametrize(
    ("train", "count"),
    [
        ("org/one", 61),
        ({"path": "org/many", "name": "small"}, 25),
        ({"path": "org/many", "name": "small", "split": "test"}, 24),
        ("org/many:small:test", 24),
        ("org/many:large", 40),
    ],
)
def test_a_configuration_and_a_split_are_fetched(asked: list[str], chatml: ModelSpec, train: Any, count: int) -> None:
    assert rows(train, chatml) == count
    assert any("/datasets/org/" in request for request in asked)


def test_what_was_fetched_is_found_again_without_the_hub(
    asked: list[str], chatml: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rows("org/many:small", chatml) == 25
    monkeypatch.setattr(hub, "_found", {})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked.clear()
    assert rows("org/many:small", chatml) == 25
    assert asked == []
    with pytest.raises(InputError, match="hub cannot be reached"):
        rows("org/one", chatml)


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ("org/many", "has several configurations. It has: large, small. Say which: org/many:large"),
        ("org/many:smal", "has no configuration 'smal'. It has: large, small. Say which: org/many:small"),
        ("org/many:small:valid", "has no split 'valid'. It has: test, train"),
        ("org/none", "no data set of that name on the hub"),
    ],
)
def test_what_is_not_there_is_said(asked: list[str], chatml: ModelSpec, train: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        rows(train, chatml)
    assert says in str(caught.value)


def test_a_download_can_be_cancelled(asked: list[str], chatml: ModelSpec) -> None:
    with pytest.raises(Cancelled):
        profile_data(Data(train=["org/one"]), model=chatml, cancelled=lambda: True)


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """A hub that sends 20 KiB of a file, and the rest when it is told to."""
    from huggingface_hub import constants

    go_on = Event()

    def pause(sent: int) -> None:
        if sent >= 20 * 1024:
            go_on.wait(20)

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "_found", {})
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)
    with fake_datasets({"org/slow": {"default/train/0000.parquet": parquet(3000)}}, pause=pause) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield go_on
        go_on.set()


def test_a_download_says_how_far_it_is(slow: Event, chatml: ModelSpec) -> None:
    told: list[tuple[str, int, int]] = []

    def fetched(name: str, done: int, total: int) -> None:
        told.append((name, done, total))
        if 16 * 1024 <= done < total:
            slow.set()

    dataset = profile_data(Data(train=["org/slow"]), model=chatml, on_bytes=fetched)
    assert len(dataset) == 3000
    total = len(parquet(3000))
    assert told[-1] == ("default/train/0000.parquet", total, total)
    assert any(16 * 1024 <= done < total == said for _, done, said in told)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_a_download_that_stalls_can_be_cancelled(slow: Event, chatml: ModelSpec) -> None:
    stop = Event()

    def fetched(_name: str, done: int, _total: int) -> None:
        if done >= 16 * 1024:
            stop.set()

    with pytest.raises(Cancelled):
        profile_data(Data(train=["org/slow"]), model=chatml, cancelled=stop.is_set, on_bytes=fetched)
    assert not slow.is_set()
    slow.set()
    assert len(profile_data(Data(train=["org/slow"]), model=chatml)) == 3000


def test_only_what_can_be_nothing_else_is_looked_for_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert names_hub_dataset("org/name", tmp_path)
    assert names_hub_dataset("org/name:main:test", tmp_path)
    for name in ("data/train", "org/name.jsonl", "name", "a/b/c", "~/x", "./x", "../x", "/x/y", ""):
        assert not names_hub_dataset(name, tmp_path), name


def test_an_id_in_a_configuration_stays_one(tmp_path: Path) -> None:
    config = FinetuneConfig(model="m", quantization={"bits": 4}, data=Data(train=["org/name", Source(path="a.jsonl")]))
    assert resolve(config, tmp_path).data.train == ["org/name", Source(path=str(tmp_path / "a.jsonl"))]


def test_the_known_data_sets_are_sources() -> None:
    for known in load_datasets():
        (source,) = Data.model_validate({"train": [known.source]}).sources
        assert source.path == known.path and source.split == "train"
        assert names_hub_dataset(known.path, Path("/nowhere"))
