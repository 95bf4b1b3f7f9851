"""Damaged and made-up files: read, or refused with a message that names the place; never a traceback."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import presets
from presets.errors import InputError
from recommender.config.schema import Data
from recommender.data.load import profile_data
from recommender.model.spec import ModelSpec

SEEDS = {
    "json": json.dumps([{"instruction": f"Ask {i} é", "input": "", "output": f"Say {i}"} for i in range(12)], indent=1),
    "jsonl": (Path(presets.__file__).parent / "demo" / "lora-house-style.jsonl").read_text(encoding="utf-8")[:6000],
    "csv": "instruction,output\n" + "".join(f'"Ask, {i}","Say ""{i}"""\n' for i in range(12)),
    "tsv": "prompt\tcompletion\n" + "".join(f"Ask {i}\tSay {i}\n" for i in range(12)),
    "txt": "\n\n".join(f"Paragraph {i}\nof text." for i in range(12)),
}
KEYS = st.sampled_from(
    [
        "instruction",
        "input",
        "output",
        "history",
        "messages",
        "conversations",
        "text",
        "chosen",
        "rejected",
        "tools",
        "prompt",
        "completion",
        "label",
        "role",
        "content",
        "from",
        "value",
        "tool_calls",
        "images",
        "system",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut, doubled, overwritten or swapped in a few places."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(changed) + 1), rng.choice([1, 1, 3, 200])
        match rng.randrange(4):
            case 0:
                del changed[at : at + size]
            case 1:
                changed[at:at] = changed[at : at + size]
            case 2:
                changed[at : at + 1] = bytes([rng.choice(b'\x00\xff\xc3\n\r,"{}[]\\:\t')])
            case _:
                del changed[at:]
    return bytes(changed)


def judge(path: Path, model: ModelSpec, data_format: str = "auto") -> None:
    """Open a file: it is profiled with a sample that can be shown, or refused with its name in the message."""
    try:
        dataset = profile_data(Data(train=[str(path)], format=data_format), model=model)
    except InputError as error:
        assert path.name in str(error), error
        return
    for i in (0, len(dataset) - 1):
        sample = dataset.sample(i, 40)
        assert sample.length == len(dataset.tokens(i)[0])


@pytest.mark.parametrize("kind", SEEDS)
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, chatml: ModelSpec, kind: str) -> None:
    for seed in range(40):
        path = tmp_path / f"{seed}.{kind}"
        path.write_bytes(damaged(SEEDS[kind].encode(), random.Random(seed)))
        judge(path, chatml)


@pytest.mark.slow
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    rows=st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), min_size=1, max_size=4),
    data_format=st.sampled_from(["auto", "auto", "alpaca", "messages", "preference", "kto", "text"]),
)
def test_made_up_rows_are_read_or_refused(
    tmp_path: Path, chatml: ModelSpec, rows: list[dict[str, Any]], data_format: str
) -> None:
    path = tmp_path / "made.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    judge(path, chatml, data_format)


@pytest.mark.process
@pytest.mark.slow
def test_some_files_of_the_benchmark_and_all_its_special_ones(tmp_path: Path, chatml: ModelSpec) -> None:
    from benchmarks.data_fuzz import files, special
    from benchmarks.data_fuzz import judge as opened

    for path, data_format in files(tmp_path, 60):
        assert opened(path, chatml, data_format) in {"read", "refused"}, path.name
    # A line of 2 MB where 1 MB is the most.
    with (
        patch("recommender.data.sources.readers.bytefile.LONGEST_LINE", 1_000_000),
        patch("recommender.data.sources.readers.json_stream.LONGEST_LINE", 1_000_000),
    ):
        came = dict(special(tmp_path, 4_000_000))
    assert len(came) == 7 and set(came.values()) == {"refused"}, came


def test_a_history_that_is_no_list_is_a_bad_row(tmp_path: Path, chatml: ModelSpec) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"instruction": "Ask", "output": "Say", "history": 5}\n', encoding="utf-8")
    with pytest.raises(InputError, match="column 'history' is a number"):
        profile_data(Data(train=[str(path)]), model=chatml)


def test_a_parquet_file_with_broken_names_is_refused(tmp_path: Path, chatml: ModelSpec) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "names.parquet"
    pq.write_table(pa.table({"instruction": ["Ask"], "output": ["Say"]}), path)
    path.write_bytes(path.read_bytes().replace(b"instruction", b"instruc\xc3ion"))
    with pytest.raises(InputError, match=r"names\.parquet"):
        profile_data(Data(train=[str(path)]), model=chatml)


def test_json_within_a_cell_that_is_nested_too_deeply_is_a_bad_row(tmp_path: Path, chatml: ModelSpec) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text('{"conversations": "' + "[" * 100_000 + '"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"deep\.jsonl"):
        profile_data(Data(train=[str(path)], format="sharegpt"), model=chatml)
