from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from presets.errors import InputError
from recommender.data.rows import BadRow
from recommender.data.sources.readers import Raw, open_reader

ROWS: list[dict[str, Any]] = [{"a": "one", "b": 1}, {"a": "zwei é 你好", "b": 2}, {"a": "three\nlines", "b": 3}]


def read(path: Path, **options: Any) -> list[Raw | BadRow]:
    return list(open_reader(path, **options).rows())


def values(path: Path, **options: Any) -> list[dict[str, Any]]:
    """Rows of a file; each is read a second time by its place and must be the same."""
    reader = open_reader(path, **options)
    found = []
    for row in reader.rows():
        assert isinstance(row, Raw), row
        assert reader.read(row.start, row.end) == row.values
        assert row.end <= reader.size
        found.append(row.values)
    return found


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.ndjson"])
def test_one_object_a_line_whatever_the_suffix(tmp_path: Path, name: str) -> None:
    assert values(put(tmp_path, name, lines(ROWS))) == ROWS
    assert values(put(tmp_path, name, "\n" + lines(ROWS).replace("\n", "\r\n\r\n"))) == ROWS
    assert values(put(tmp_path, name, lines(ROWS).rstrip("\n"))) == ROWS


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_whatever_the_suffix(tmp_path: Path, name: str, indent: int | None) -> None:
    assert values(put(tmp_path, name, json.dumps(ROWS, indent=indent, ensure_ascii=False))) == ROWS


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_under_a_key(tmp_path: Path, indent: int | None) -> None:
    wrapped = {"version": "1.0", "notes": ["x"], "data": ROWS}
    path = put(tmp_path, "rows.json", json.dumps(wrapped, indent=indent))
    assert values(path) == ROWS
    assert open_reader(path).note == "rows under 'data'"


def test_several_lists_are_splits(tmp_path: Path) -> None:
    path = put(tmp_path, "rows.json", json.dumps({"train": ROWS[:1], "test": ROWS[1:]}))
    assert values(path) == ROWS[:1]
    assert values(path, split="test") == ROWS[1:]
    with pytest.raises(InputError, match="no list of rows called 'valid'"):
        open_reader(path, split="valid")
    unclear = put(tmp_path, "unclear.json", json.dumps({"english": ROWS, "german": ROWS}))
    with pytest.raises(InputError, match="several lists of rows: english, german"):
        open_reader(unclear)


def test_a_split_of_a_plain_list_is_refused(tmp_path: Path) -> None:
    for name, content in (("rows.jsonl", lines(ROWS)), ("rows.csv", "a,b\n1,2\n")):
        with pytest.raises(InputError, match="no split 'train'"):
            open_reader(put(tmp_path, name, content), split="train")


def test_one_object_is_one_row(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    assert values(put(tmp_path, "a.json", json.dumps(chat))) == [chat]
    assert values(put(tmp_path, "b.json", json.dumps(chat, indent=1))) == [chat]


def test_lines_and_numbers_of_json_rows(tmp_path: Path) -> None:
    path = put(tmp_path, "rows.json", '[\n{"a": 1},\n\n{"a": 2},\n3]')
    found = read(path)
    assert [row.line for row in found] == [2, 4, 5]
    assert found[2] == BadRow(str(path), 5, "is a number, not an object", "3")


def test_rows_larger_than_the_window(tmp_path: Path) -> None:
    rows = [{"a": "é" * 700_000}, {"a": "x" * 3_000_000}, {"a": "end"}]
    assert values(put(tmp_path, "rows.json", json.dumps(rows, ensure_ascii=False))) == rows
    assert values(put(tmp_path, "rows.jsonl", lines(rows))) == rows


def test_a_bad_line_is_a_bad_row_with_its_number_reason_and_start(tmp_path: Path) -> None:
    path = put(tmp_path, "rows.jsonl", '{"a": 1}\n{"a": oops}\n\n[1]\nnull\n{"a": 2}')
    found = read(path)
    assert [row for row in found if isinstance(row, BadRow)] == [
        BadRow(str(path), 2, "is not valid JSON: Expecting value at column 7", '{"a": oops}'),
        BadRow(str(path), 4, "is a list, not an object", "[1]"),
        BadRow(str(path), 5, "is null, not an object", "null"),
    ]
    assert [row.values for row in found if isinstance(row, Raw)] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[{"a": 1},\n {"a": 2},\n {"a" 3}]', r"invalid JSON at line 3.*The line starts: +\{\"a\" 3\}\]"),
        ('[{"a": 1},\n {"a": 2}\n {"a": 3}]', r"invalid JSON at line 3: Expecting ',' or '\]'"),
        ('[{"a": 1},\n {"a": 2},', "ends on line 2 in the middle"),
        ('[{"a": 1},\n {"a": "x', "invalid JSON at line 2: Unterminated string"),
        ('[{"a": 1}]\ngarbage', "invalid JSON at line 2: Extra data"),
        ("[]", "holds an empty list"),
        ("[" * 100_000, "nested too deeply|in the middle"),
        ('{\n"data": [{"a": 1}', "in the middle of a value"),
    ],
)
def test_a_broken_array_says_where(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read(put(tmp_path, "rows.json", content))


@pytest.mark.parametrize("name", ["e.json", "e.jsonl", "e.csv", "e.txt", "e.parquet"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"e\.\w+ is empty"):
        read(put(tmp_path, name, b""))


def test_a_file_of_blanks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds only blanks"):
        read(put(tmp_path, "e.jsonl", "\n \n"))


@pytest.mark.parametrize(
    ("name", "content", "offset", "command"),
    [
        ("l.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n', 16, "iconv -f WINDOWS-1252"),
        ("l.json", b'[{"a": 1},\n{"a": "\xe9"}]', 18, "iconv -f WINDOWS-1252"),
        ("l.csv", b"a,b\n1,2\nx\xe9,3\n", 9, "iconv -f WINDOWS-1252"),
        ("l.txt", b"fine\n\xff\n", 5, "iconv -f WINDOWS-1252"),
        ("l.jsonl", "\ufeff{}".encode("utf-16-le"), 0, "iconv -f UTF-16"),
    ],
)
def test_another_encoding_names_the_byte_and_the_command(
    tmp_path: Path, name: str, content: bytes, offset: int, command: str
) -> None:
    with pytest.raises(InputError, match=f"not UTF-8: byte 0x.. at offset {offset} ") as caught:
        read(put(tmp_path, name, content))
    assert command in caught.value.remedy


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.csv"])
def test_a_byte_order_mark_is_passed_over(tmp_path: Path, name: str) -> None:
    content = {"rows.json": '[{"a": "1"}]', "rows.jsonl": '{"a": "1"}\n', "rows.csv": "a\n1\n"}[name]
    assert values(put(tmp_path, name, b"\xef\xbb\xbf" + content.encode())) == [{"a": "1"}]


def test_tables_with_quotes_line_ends_and_other_separators(tmp_path: Path) -> None:
    rows = [{"q": 'say "hi"', "a": "two\nlines"}, {"q": "é, b", "a": ""}]
    text = 'q,a\n"say ""hi""","two\nlines"\n"é, b",\n'
    assert values(put(tmp_path, "t.csv", text)) == rows
    assert values(put(tmp_path, "t.csv", text.replace("\n", "\r\n"))) == [
        {"q": 'say "hi"', "a": "two\r\nlines"},
        rows[1],
    ]
    assert values(put(tmp_path, "s.csv", "q;a\n1,5;2\n")) == [{"q": "1,5", "a": "2"}]
    assert values(put(tmp_path, "t.tsv", "q\ta\n1,5\t2\n")) == [{"q": "1,5", "a": "2"}]


def test_a_record_with_another_number_of_cells_is_a_bad_row(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", 'q,a\n"x\ny",2\n3\n4,5\n')
    assert read(path)[1] == BadRow(str(path), 4, "has 1 cell, the table has 2 columns", "3")


def test_a_nul_character_is_a_bad_row(tmp_path: Path) -> None:
    path = put(tmp_path, "t.csv", 'q,a\n1,2\n"x\0",2\n')
    assert read(path)[1] == BadRow(str(path), 3, "holds a NUL character", "x·,2")


def test_a_number_of_more_digits_than_python_reads(tmp_path: Path) -> None:
    row = '{"a": ' + "9" * 5000 + "}"
    (bad,) = read(put(tmp_path, "t.jsonl", row + "\n"))
    assert isinstance(bad, BadRow)
    assert bad.reason == "is not valid JSON: it holds a whole number of more than 4300 digits"
    with pytest.raises(InputError, match=r"line 2: it holds a whole number of more than 4300 digits\."):
        read(put(tmp_path, "t.json", f"[\n{row}\n]"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('q,a\n1,2\n3,"4\n', "the record that starts on line 3 cannot be read"),
        ("q,q\n1,2\n", "names the column 'q' twice"),
        (",\n1,2\n", "holds no column names"),
    ],
)
def test_a_broken_table_says_what(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read(put(tmp_path, "t.csv", content))


def test_text_files_by_blocks_or_by_lines(tmp_path: Path) -> None:
    assert values(put(tmp_path, "b.txt", "\n\none\ntwo\n\n \nthree\n\n")) == [{"text": "one\ntwo"}, {"text": "three"}]
    path = put(tmp_path, "l.txt", "one\ntwo\n")
    assert values(path) == [{"text": "one"}, {"text": "two"}]
    assert open_reader(path).note == "each line is a row"


def test_parquet_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"messages": [{"role": "user", "content": str(n)}], "n": n} for n in range(1000)]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=300)
    assert values(path) == rows
    reader = open_reader(path)
    assert reader.read(999, 1000) == rows[999]
    assert reader.read(0, 1) == rows[0]
    assert [reader.read(n, n + 1) for n in range(1000)] == rows


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".zst", lambda data: zstandard(data))])
def test_a_packed_parquet_file(tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    path = parquet_of(tmp_path, [{"text": str(n)} for n in range(700)])
    packed = put(tmp_path, f"rows.parquet{ending}", pack(path.read_bytes()))
    reader = open_reader(packed, upto=100)
    assert values(packed) == [{"text": str(n)} for n in range(700)]
    assert reader.read(650, 651) == {"text": "650"}


def test_a_row_of_a_great_row_group_is_not_a_million_objects(tmp_path: Path) -> None:
    path = parquet_of(tmp_path, [{"question": f"Ask {n}", "answer": f"Say {n}"} for n in range(100_000)])
    reader = open_reader(path)
    tracemalloc.start()
    assert reader.read(99_999, 100_000) == {"question": "Ask 99999", "answer": "Say 99999"}
    assert reader.read(5, 6) == {"question": "Ask 5", "answer": "Say 5"}
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_a_parquet_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = parquet_of(tmp_path, [{"text": str(n)} for n in range(2000)])
    reader = open_reader(path)
    rows = reader.rows()
    next(rows)
    with path.open("r+b") as file:
        file.truncate(500)
    with pytest.raises(InputError, match="was changed while it was being read"):
        list(rows)
    with pytest.raises(InputError, match="was changed while it was being read"):
        reader.read(1900, 1901)


def parquet_of(folder: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "made.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_what_is_no_parquet_file_and_one_without_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read(put(tmp_path, "p.parquet", b"version https://git-lfs"))
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "none.parquet")
    with pytest.raises(InputError, match="has no row"):
        read(tmp_path / "none.parquet")


def zstandard(data: bytes) -> bytes:
    import pyarrow as pa

    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".zst", zstandard)])
def test_packed_files(tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    assert values(put(tmp_path, f"rows.jsonl{ending}", pack(lines(ROWS).encode()))) == ROWS
    assert values(put(tmp_path, f"rows.json{ending}", pack(json.dumps(ROWS).encode()))) == ROWS
    with pytest.raises(InputError, match=r"is not UTF-8|cannot be unpacked|cannot be read"):
        read(put(tmp_path, f"cut.jsonl{ending}", pack(lines(ROWS * 50).encode())[:-20]))


def test_a_packed_file_too_large_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 0))
    with pytest.raises(InputError, match="unpacks to more than the disk"):
        read(put(tmp_path, "rows.jsonl.gz", gzip.compress(lines(ROWS).encode())))


def test_a_file_that_changes_while_it_is_open(tmp_path: Path) -> None:
    path = put(tmp_path, "rows.jsonl", lines(ROWS))
    reader = open_reader(path)
    first = next(iter(reader.rows()))
    assert isinstance(first, Raw)
    path.write_text(lines(ROWS * 2), encoding="utf-8")
    with pytest.raises(InputError, match="changed while it was being read"):
        reader.read(first.start, first.end)


def test_an_endless_line_is_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recommender.data.sources.readers.bytefile.LONGEST_LINE", 2 * 2**20)
    with pytest.raises(InputError, match="line 2 is longer than 2 MiB; it starts: xxxx"):
        read(put(tmp_path, "rows.jsonl", '{"a": 1}\n' + "x" * (5 * 2**20)))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a kind of file"):
        open_reader(put(tmp_path, "rows.xlsx", "x"))
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(InputError, match="not a regular file"):
        open_reader(tmp_path / "pipe.jsonl")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=4), min_size=1, max_size=6), st.booleans())
def test_any_objects_come_back(tmp_path: Path, rows: list[dict[str, Any]], pretty: bool) -> None:
    text = json.dumps(rows, indent=2 if pretty else None)
    event(f"{len(rows)} rows")
    assert values(put(tmp_path, "h.json", text)) == rows
    assert values(put(tmp_path, "h.jsonl", "\n".join(json.dumps(row) for row in rows))) == rows


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.data())
def test_a_damaged_file_is_read_or_explained(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["d.json", "d.jsonl", "d.csv", "d.txt", "d.jsonl.gz", "d.parquet"]))
    whole = bytearray((json.dumps(ROWS) if name == "d.json" else lines(ROWS)).encode())
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        whole = whole or bytearray(b" ")
    content = gzip.compress(bytes(whole))[: data.draw(st.integers(10, 300))] if name.endswith(".gz") else bytes(whole)
    try:
        read(put(tmp_path, name, content))
    except InputError as error:
        assert name in error.message
        assert error.remedy
