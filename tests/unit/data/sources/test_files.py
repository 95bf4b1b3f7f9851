from __future__ import annotations

import os
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.config.data_paths import format_of
from recommender.data.sources.files import find_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train.jsonl", "more/b.csv", "more/a.parquet.gz", "dataset_info.json", "README.md", ".hidden.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def test_a_file_a_folder_and_a_glob(folder: Path) -> None:
    assert find_files("train.jsonl", folder) == (folder / "train.jsonl",)
    assert find_files(str(folder / "train.jsonl")) == (folder / "train.jsonl",)
    below = (folder / "more/a.parquet.gz", folder / "more/b.csv")
    assert find_files(".", folder) == (*below, folder / "train.jsonl")
    assert find_files("more/*", folder) == below
    assert find_files("**/*.csv", folder) == (folder / "more/b.csv",)


def test_a_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert find_files("~/train.jsonl", Path("/nowhere")) == (folder / "train.jsonl",)


@pytest.mark.parametrize(
    ("name", "says", "remedy"),
    [
        ("trian.jsonl", "There is no file", "Did you mean .*train.jsonl"),
        ("nothing/like/it.json", "There is no file", "Check the path"),
        ("more/*.txt", "No data file matches", "are read from"),
        ("empty", "holds no data file", "are read from"),
    ],
)
def test_what_is_not_there(folder: Path, name: str, says: str, remedy: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=says) as caught:
        find_files(name, folder)
    import re

    assert re.search(remedy, caught.value.remedy)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_folder(folder: Path) -> None:
    (folder / "more").chmod(0)
    try:
        with pytest.raises(InputError, match="cannot be read: Permission denied"):
            find_files("more", folder)
    finally:
        (folder / "more").chmod(0o755)


def test_formats_look_through_compression() -> None:
    assert [format_of(Path(name)) for name in ("a.JSON", "b.tsv.gz", "c.txt.zst", "d.gz", "e")] == [
        "json",
        "csv",
        "text",
        None,
        None,
    ]
