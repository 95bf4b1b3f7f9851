"""One kind of row, and what is right to make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Read:
    """It is read: what the first row becomes.

    Attributes:
        says: A line a turn: `u: text` of the user, `s:` the system, `t:` a tool, `a:` an answer as context, `A:` one
            that is trained; `p:` and `C:` a plain prompt and its completion, `T:` plain text. Reasoning stands behind
            an answer as ` (reasoning)`, a call as ` [name arguments]`.
        tools: Names of the functions that it may call.
        told: Part of a warning that must be given.
    """

    says: tuple[str, ...]
    tools: tuple[str, ...] = ()
    told: str = ""

    def __str__(self) -> str:
        return " | ".join(self.says)


@dataclass(frozen=True)
class Asked:
    """It is asked about, and an answer makes this of the first row.

    Attributes:
        code: Of the question.
        says: As in `Read`, under the answer with that number.
        answer: Which answer, from 0.
    """

    code: str
    says: tuple[str, ...] = ()
    answer: int = 0

    def __str__(self) -> str:
        return f"asked: {self.code}" + (f", then {' | '.join(self.says)}" if self.says else "")


@dataclass(frozen=True)
class Refused:
    """It is refused, with this reason."""

    reason: str

    def __str__(self) -> str:
        return f"refused: {self.reason}"


Outcome = Read | Asked | Refused


@dataclass(frozen=True)
class Case:
    """One kind of row.

    Attributes:
        name: What it is, and who names it.
        rows: The rows of the file.
        right: What is right to make of them.
        kind: How the file is written: jsonl, json, csv, tsv, parquet, arrow, txt.
        settings: Of the `data` section.
        index: An entry of LLaMA-Factory's dataset_info.json; the data set is then given by its name.
    """

    name: str
    rows: tuple[Row, ...]
    right: Outcome
    kind: str = "jsonl"
    settings: Mapping[str, Any] = field(default_factory=dict)
    index: Mapping[str, Any] | None = None

    def write(self, folder: Path) -> str:
        """Write the file, and the index where there is one; what `data.train` names."""
        path = folder / f"rows.{self.kind}"
        _WRITERS[self.kind](path, [dict(row) for row in self.rows])
        if self.index is None:
            return str(path)
        entry = {"file_name": path.name, **self.index}
        (folder / "dataset_info.json").write_text(json.dumps({"named": entry}), encoding="utf-8")
        return str(folder / "named")


def _jsonl(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _json(path: Path, rows: list[Row]) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")


def _table(separator: str) -> Any:
    def write(path: Path, rows: list[Row]) -> None:
        import csv

        with path.open("w", encoding="utf-8", newline="") as stream:
            columns = list(dict.fromkeys(column for row in rows for column in row))
            writer = csv.DictWriter(stream, columns, delimiter=separator)
            writer.writeheader()
            for row in rows:
                writer.writerow(
                    {key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()}
                )

    return write


def _parquet(path: Path, rows: list[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)


def _arrow(path: Path, rows: list[Row]) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(str(path), table.schema) as stream:
        stream.write_table(table)


def _txt(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(f"{row['text']}\n" for row in rows), encoding="utf-8")


_WRITERS = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _table(","),
    "tsv": _table("\t"),
    "parquet": _parquet,
    "arrow": _arrow,
    "txt": _txt,
}
