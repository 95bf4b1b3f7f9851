"""Rows that `datasets` has saved train what the same rows in JSON lines would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from presets.errors import InputError
from recommender.config.schema import Data
from recommender.data.load import profile_data
from recommender.model.spec import ModelSpec

CALLS = Path(__file__).parents[3] / "fixtures" / "tool_calls.parquet"


def texts(path: Path, model: ModelSpec) -> list[str]:
    dataset = profile_data(Data(train=[str(path)]), model=model)
    return [dataset.sample(i, 4096).text for i in range(len(dataset))]


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(held) for key, held in value.items() if held is not None}
    return [without_nulls(held) for held in value] if isinstance(value, list) else value


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    rows = pq.read_table(CALLS).to_pylist()
    path.write_text("".join(json.dumps(without_nulls(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def save(table: pa.Table, folder: Path) -> Path:
    """A data set as `save_to_disk` writes it."""
    folder.mkdir(parents=True)
    with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as stream:
        stream.write_table(table)
    for name in ("state.json", "dataset_info.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


def test_parquet_trains_what_json_lines_do(lines: Path, chatml: ModelSpec) -> None:
    said = texts(CALLS, chatml)
    assert said == texts(lines, chatml)
    assert "lake" in said[0] and '"arguments": {"river": "moss"}' in said[0]
    assert "null" not in "".join(said)


def test_a_saved_data_set_trains_what_json_lines_do(lines: Path, chatml: ModelSpec, tmp_path: Path) -> None:
    folder = save(pq.read_table(CALLS), tmp_path / "saved")
    assert texts(folder, chatml) == texts(lines, chatml)


def test_of_saved_splits_the_train_split_is_read(chatml: ModelSpec, tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(pa.table({"question": [f"{split}?"], "answer": ["A"]}), tmp_path / "saved" / split)
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}', encoding="utf-8")
    (said,) = texts(tmp_path / "saved", chatml)
    assert "train?" in said
    other = Data(train=[{"path": str(tmp_path / "saved"), "split": "test"}])
    assert "test?" in profile_data(other, model=chatml).sample(0, 100).text
    with pytest.raises(InputError, match="has no split 'dev'"):
        profile_data(Data(train=[{"path": str(tmp_path / "saved"), "split": "dev"}]), model=chatml)


def test_what_is_no_arrow_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    path.write_bytes(b"version https://git-lfs")
    with pytest.raises(InputError, match="cannot be read as Arrow"):
        profile_data(Data(train=[str(path)]), model=None)
