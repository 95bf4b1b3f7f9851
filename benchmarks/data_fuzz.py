"""Broken and hostile data files: `python -m benchmarks.data_fuzz [--files 3000]`.

Opens mutations of the data sets beside the repository (the shipped rows where none are) and files of made-up
rows, in every format, packed or not; each must be read, with samples that can be shown, or refused with a message that
names the file, within 5 s and without a traceback. Then the special ones: a line of 1 GB in each format, a packed file
that unpacks to more than the disk has room for, a folder that cannot be read, a file that changes while it is read.
Prints what came of them and exits 1 when one did otherwise.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import presets
from presets.errors import InputError
from recommender.config.schema import Data
from recommender.data.load import profile_data
from recommender.data.profile import cache
from recommender.model.spec import ModelSpec
from tests.fixtures.vocabularies import spec_for, write_vocabulary

SECONDS = 5.0
"""Of the processor, so that a busy machine is not taken for a hang; of the clock ten times that."""
SHARED = Path(__file__).parents[2] / "shared" / "data"
"""Data sets of many makers beside the repository, which are not part of it; without them the shipped rows serve."""
SHIPPED = Path(presets.__file__).parent / "demo" / "lora-house-style.jsonl"
KEYS = (
    *("instruction", "input", "output", "history", "messages", "conversations", "text", "prompt", "completion"),
    *("chosen", "rejected", "label", "tools", "role", "content", "from", "value", "tool_calls", "images", "system"),
    *("kto_tag", "question", "answer"),
)
SIGNS = b'\x00\xff\xc3\n\r,"{}[]\\:\t\xef\xbb\xbf\xed\xa0\x80'
FORMATS = ("auto", "auto", "auto", "alpaca", "sharegpt", "messages", "prompt-completion", "text", "preference", "kto")
GIGABYTE = 1_000_000_000


def seeds() -> list[tuple[str, bytes]]:
    """Endings and contents to be damaged."""
    files = sorted(SHARED.glob("*.*")) if SHARED.is_dir() else [SHIPPED]
    found = [(path.suffix, path.read_bytes()) for path in files]
    rows = [{"instruction": f"Ask, {i}", "input": "", "output": f'Say "{i}"\n'} for i in range(40)]
    table = "instruction,output\n" + "".join(f'"Ask, {i}","Say ""{i}"""\n' for i in range(40))
    return [
        *found,
        (".jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode()),
        (".csv", table.encode()),
        (".tsv", table.replace(",", "\t").encode()),
        (".parquet", _parquet(rows)),
    ]


def _parquet(rows: list[dict[str, str]]) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A part of a file, cut, doubled, overwritten or swapped in a few places."""
    changed = bytearray(data[: rng.choice([400, 4000, 30_000, len(data)])])
    for _ in range(rng.randint(0, 5)):
        at, size = rng.randrange(len(changed) + 1), rng.choice([1, 1, 3, 200, 5000])
        match rng.randrange(5):
            case 0:
                del changed[at : at + size]
            case 1:
                changed[at:at] = changed[at : at + size]
            case 2:
                changed[at : at + 1] = bytes([rng.choice(SIGNS)])
            case 3:
                changed[at:at] = rng.choice([b"{" * 2000, b"[" * 2000, b'"', b"\n\n", b"9" * 5000])
            case _:
                del changed[at:]
    return bytes(changed)


def made_up(rng: random.Random) -> bytes:
    """Rows of the right words in the wrong places."""

    def value(depth: int) -> Any:
        if depth and rng.random() < 0.4:
            if rng.random() < 0.5:
                return [value(depth - 1) for _ in range(rng.randrange(4))]
            return {rng.choice(KEYS): value(depth - 1) for _ in range(rng.randrange(4))}
        return rng.choice([None, True, 0, -1.5, 10**30, "", "x", "[1]", '{"a": 1}', "\ud800", "nan", "é😀" * 3])

    rows = [{rng.choice(KEYS): value(3) for _ in range(rng.randint(1, 4))} for _ in range(rng.randint(1, 5))]
    if rng.random() < 0.3:
        return json.dumps(rng.choice([rows, {"train": rows}, {"a": rows, "b": rows}, rows[0]])).encode()
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def files(folder: Path, count: int) -> Iterator[tuple[Path, str]]:
    """So many files, one after the other, each with the format that it is opened as."""
    held = seeds()
    for seed in range(count):
        rng = random.Random(seed)
        if seed % 3:
            ending, data = rng.choice(held)
            data = damaged(data, rng)
        else:
            ending, data = rng.choice([".json", ".jsonl"]), made_up(rng)
        if rng.random() < 0.1:
            ending, data = (
                ending + ".gz",
                damaged(gzip.compress(data), rng) if rng.random() < 0.5 else gzip.compress(data),
            )
        path = folder / f"{seed}{ending}"
        path.write_bytes(data)
        yield path, rng.choice(FORMATS)
        path.unlink()


def judge(path: Path, model: ModelSpec | None, data_format: str = "auto") -> str:
    """Open a file: 'read', 'refused', or what is wrong with how it was taken."""
    began, busy = time.monotonic(), time.process_time()
    try:
        dataset = profile_data(Data(train=[str(path)], format=data_format, skip_bad_rows=True), model=model)
        for row in {0, len(dataset) - 1, dataset.longest(1)[0]}:
            dataset.sample(row, 40)
        came = "read"
    except InputError as error:
        came = "refused" if path.name in str(error) or path.parent.name in str(error) else f"names no place: {error}"
    except Exception as error:
        came = f"{type(error).__name__}: {error}"
    seconds = max(time.process_time() - busy, (time.monotonic() - began) / 10)
    return came if seconds <= SECONDS else f"took {seconds:.1f} s"


def special(folder: Path, size: int = GIGABYTE) -> Iterator[tuple[str, str]]:
    """The files that are hostile as a whole, each with what came of it."""
    for ending, head in ((".jsonl", b'{"text": "'), (".json", b'["'), (".csv", b"a,b\n"), (".txt", b"")):
        path = folder / f"line{ending}"
        with path.open("wb") as file:
            file.write(head)
            for _ in range(size // 1_000_000):
                file.write(b"a" * 1_000_000)
        yield f"a line of {size / 1e9:g} GB in {ending}", judge(path, None)
        path.unlink()
    yield "a file that unpacks to more than the disk", _bomb(folder)
    yield "a folder that cannot be read", _unreadable(folder)
    yield "a file that changes while it is read", _changing(folder)


def _bomb(folder: Path) -> str:
    path = folder / "bomb.jsonl.gz"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(gzip.compress(b"a" * 2**24))
    real = shutil.disk_usage
    # As on a disk of which 800 MB are free: what is written there is taken off by the real one.
    before = real(tempfile.gettempdir()).free

    def small(where: Any) -> Any:
        total, used, free = real(where)
        return type(real(where))(total, used, 800 * 2**20 - (before - free))

    with patch("shutil.disk_usage", small):
        return judge(path, None)


def _unreadable(folder: Path) -> str:
    """Asked by somebody who may not: as root, by a process that has become nobody."""
    closed = folder / "closed"
    closed.mkdir(mode=0o000)
    folder.chmod(0o755)
    reader, writer = multiprocessing.Pipe(duplex=False)

    def ask() -> None:
        if os.geteuid() == 0:
            os.seteuid(65534)
        writer.send(judge(closed, None))

    child = multiprocessing.get_context("fork").Process(target=ask)
    child.start()
    came = str(reader.recv()) if reader.poll(30) else "no answer"
    child.join()
    closed.chmod(0o755)
    return came


def _changing(folder: Path) -> str:
    path = folder / "changing.jsonl"
    path.write_text("".join(json.dumps({"text": f"row {i}"}) + "\n" for i in range(5000)), encoding="utf-8")

    def grow(_done: int, _total: int) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write('{"text": "one more"}\n')

    try:
        profile_data(Data(train=[str(path)]), model=None, on_progress=grow)
    except InputError as error:
        return "refused" if path.name in str(error) and "changed" in str(error) else str(error)
    return "nobody noticed"


def main() -> int:
    """Open them all, and say whether each was taken as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=3000)
    count = parser.parse_args().files
    came: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="data-fuzz-") as name:
        folder = Path(name)
        model = spec_for(write_vocabulary(folder / "model", stops=[2]))
        with patch.object(cache, "_folder", lambda: folder / "kept"):
            for number, (path, data_format) in enumerate(files(folder, count)):
                said = judge(path, model if number % 2 else None, data_format)
                came[said if said in {"read", "refused"} else "wrong"] += 1
                wrong += [] if said in {"read", "refused"} else [f"{path.name} as {data_format}: {said}"]
            print(
                f"{count} files: {came['read']} read, {came['refused']} refused with their place, {came['wrong']} wrong"
            )
            for what, said in special(folder):
                print(f"{what}: {said}")
                wrong += [] if said == "refused" else [f"{what}: {said}"]
    for line in wrong[:20]:
        print(line[:300], file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
