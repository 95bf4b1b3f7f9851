"""Opening of a configuration's data sets: files with their readers and row formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from presets.errors import InputError
from presets.questions import Choice
from recommender.config.data_paths import format_of, names_hub_dataset
from recommender.config.schema import Data, Source
from recommender.data.formats.errors import ShapeError, ShapeQuestionError
from recommender.data.formats.examples import of_template
from recommender.data.formats.shape import Shape
from recommender.data.open_file import OpenFile
from recommender.data.rows import BadRow
from recommender.data.sources.dataset_info import ASKED, INDEX, Entry, entry_for, explain_index, find_entry
from recommender.data.sources.files import find_files
from recommender.data.sources.readers import Raw, Reader, open_reader
from recommender.data.sources.readers.base import is_empty
from recommender.data.sources.readers.bytefile import PACKED, CheckCancelled
from recommender.data.sources.readers.grouped import GroupedReader
from recommender.data.stages import RowReader

PEEK = 100
"""Rows that the shape is recognised by."""
TRAIN, EVAL = "data.train", "data.eval"
"""The keys of data sets in the configuration."""
_OPTIONAL = ("input", "history", "system", "tools")
"""Columns that an index may name and a file may lack."""


class OnDisk(NamedTuple):
    """Bytes of the files as they lie there."""

    total: int
    packed: int
    """Of those that have to be unpacked."""


def bytes_on_disk(
    sources: Sequence[Source], base: Path | None, check_cancelled: CheckCancelled | None = None
) -> OnDisk:
    """Size of some data sets' files.

    Raises:
        InputError: One is not there.
    """
    sizes = [
        (path.stat().st_size, path.suffix.lower() in PACKED)
        for source in sources
        for path, _ in _paths(source, base, check_cancelled)
        if path.is_file()
    ]
    return OnDisk(sum(size for size, _ in sizes), sum(size for size, packed in sizes if packed))


def fetch(
    sources: Sequence[Source],
    base: Path | None,
    check_cancelled: CheckCancelled,
    on_bytes: Callable[[str, int, int], None],
) -> None:
    """Download hub data sets with progress; nothing is downloaded twice.

    Raises:
        InputError: It is not there, or the hub cannot be reached.
    """
    for source in sources:
        if names_hub_dataset(source.path, base):
            from recommender.data.sources.hub import hub_files

            hub_files(source, check_cancelled, on_bytes)


def _paths(
    source: Source, base: Path | None, check_cancelled: CheckCancelled | None = None
) -> list[tuple[Path, Entry | None]]:
    """The files of a source, each with its index entry; a hub data set is downloaded."""
    try:
        return _looked_up(source, base, check_cancelled)
    except OSError as error:
        # A folder above it that may not be entered, or a name that no file can have.
        raise InputError(
            f"{source.path} cannot be read: {error.strerror or error}.",
            remedy="Check the permissions of the folders above it (ls -ld), and that the disk is mounted.",
        ) from error


def _looked_up(
    source: Source, base: Path | None, check_cancelled: CheckCancelled | None
) -> list[tuple[Path, Entry | None]]:
    name = source.path
    if names_hub_dataset(name, base):
        from recommender.data.sources.hub import hub_files

        return [(path, None) for path in hub_files(source, check_cancelled)]
    entry = find_entry(name, base)
    found = find_files(name if entry is None else str(entry.path), base if entry is None else None, source.split)
    return [(path, entry) for path in found]


def open_sources(
    sources: Sequence[Source],
    data: Data,
    base: Path | None,
    rows: RowReader,
    check_cancelled: CheckCancelled | None = None,
    upto: int | None = None,
    key: str = TRAIN,
) -> tuple[list[OpenFile], list[float]]:
    """Every file of every data set with its reader, format and weight.

    Args:
        sources: The data sets.
        data: How their rows are read.
        base: Where relative paths start; the current folder when None.
        rows: Reads the rows of the stage that is trained.
        check_cancelled: Called while packed files are unpacked; raises to end that.
        upto: Unpack no more bytes than these of a file, for a first look.
        key: Where the data sets stand in the configuration.

    Raises:
        InputError: A file is not there, cannot be read, or its rows are not recognised.
    """
    files: list[OpenFile] = []
    weights: list[float] = []
    for number, source in enumerate(sources):
        on_hub = names_hub_dataset(source.path, base)
        for path, entry in _paths(source, base, check_cancelled):
            if path.name == INDEX:
                raise explain_index(path)
            split = None if on_hub or format_of(path) == "arrow" else source.split
            reader = open_reader(path, split=split, upto=upto, check_cancelled=check_cancelled)
            try:
                shape = _shape(reader, _as_told(source, data), entry, rows)
            except ShapeError as error:
                named = entry_for(path) if entry is None else None
                raise _of_source(error, number, sources, named, key) from error
            group = shape.columns.get("group")
            files.append(OpenFile(GroupedReader(reader, group) if group else reader, shape, rows, number))
            weights.append(source.weight)
    if not files:
        raise InputError("No training data is given.", remedy="Give a file: --data FILE, or data.train in the file.")
    return files, weights


def _of_source(error: ShapeError, number: int, sources: Sequence[Source], named: Path | None, key: str) -> ShapeError:
    """The error as one of this data set, so that its settings alone answer it.

    Args:
        error: Why its rows are not taken.
        number: Which data set it is.
        sources: All data sets.
        named: The name under which an index beside its file says how it is read.
        key: Where the data sets stand in the configuration.
    """
    error.source, error.key = number, key
    if not isinstance(error, ShapeQuestionError):
        if named:
            error.remedy = f"The {INDEX} beside it says how it is read: give {named} instead."
        return error
    ways = error.question.choices
    # Held-out files are answered for alone: what is said of all data is said of what is trained on.
    if key != TRAIN or len(sources) > 1 or sources[number].format or sources[number].columns:
        ways = tuple(replace(way, set=alone(way.set, number, sources, key)) for way in ways)
    if named:
        others = [str(named) if place == number else _item(source) for place, source in enumerate(sources)]
        ways = (Choice({key: others}, f"Read it as the {INDEX} beside it says."), *ways)
    text = error.question.text if key == TRAIN else f"Of the held-out data ({key}): {error.question.text}"
    said = ShapeQuestionError(replace(error.question, text=text, choices=ways))
    said.columns, said.turns, said.first = error.columns, error.turns, error.first
    said.source, said.key = number, key
    return said


def alone(settings: Mapping[str, Any], number: int, sources: Sequence[Source], key: str = TRAIN) -> dict[str, Any]:
    """Settings of all data rewritten as those of one data set."""
    own = {leaf: settings[f"data.{leaf}"] for leaf in ("format", "columns") if f"data.{leaf}" in settings}
    items = [_item(source) for source in sources]
    said = items[number] if isinstance(items[number], dict) else {"path": sources[number].path}
    items[number] = {**{leaf: held for leaf, held in said.items() if leaf not in {"format", "columns"}}, **own}
    rest = {name: held for name, held in settings.items() if name not in {"data.format", "data.columns"}}
    return {key: items, **rest}


def _item(source: Source) -> Any:
    """A data set as `data.train` names it: its path alone where it says no more."""
    said = source.model_dump(exclude_defaults=True)
    return source.path if said.keys() == {"path"} else said


def _as_told(source: Source, data: Data) -> Data:
    """The settings for one data set: its own format and columns go before those of all data."""
    own = {"format": source.format, "columns": source.columns}
    return data.model_copy(update={key: value for key, value in own.items() if value is not None})


def _shape(reader: Reader, data: Data, entry: Entry | None, rows: RowReader) -> Shape:
    first_bad: BadRow | None = None
    usable = []
    for row in reader.rows():
        if isinstance(row, Raw):
            usable += [] if is_empty(row.values) else [row.values]
        else:
            first_bad = first_bad or row
        if len(usable) == PEEK:
            break
    if not usable and first_bad is not None:
        raise nothing_usable(first_bad)
    if not usable:
        raise InputError(f"{reader.path} has no row.", remedy="Give a file with at least one row.")
    if entry is not None and data.format == "auto" and not data.columns and format_of(reader.path) != "text":
        return _entry_shape(entry, usable, reader, rows)
    if format_of(reader.path) == "text" and data.format in {"auto", "text"}:
        return Shape("text", {"text": "text"}, "high", "plain text", ("text",))
    return rows.recognise(usable, where=str(reader.path), wanted=data.format, given=data.columns)


def _entry_shape(entry: Entry, first: list[dict[str, Any]], reader: Reader, rows: RowReader) -> Shape:
    """As the index says; pairs and marked rows are not taken by an index alone, so that the person says so."""
    if entry.format in ASKED:
        return rows.recognise(first, where=str(reader.path))
    seen = {column for row in first for column in row}
    columns = {role: column for role, column in entry.columns.items() if column in seen or role not in _OPTIONAL}
    shape = rows.recognise(first, where=str(reader.path), wanted=entry.format, given=columns)
    why = f"{shape.name}, as {INDEX} says of '{entry.name}'" if entry.format != "auto" else shape.why
    return replace(shape, why=why, role_mapping=entry.role_mapping)


_OTHER_TEMPLATE = "Take another template with data.template: chatml, alpaca or a Jinja file."


def nothing_usable(first: BadRow, helps: str = "") -> InputError:
    """The error for data without a usable row, with the first row's reason.

    Args:
        first: The first one.
        helps: Settings under which the template takes such rows, where some are known.
    """
    shown = f" It starts: {first.start}" if first.start else ""
    return InputError(
        f"No row of {first.file} can be used. Line {first.line} {first.reason}.{shown}",
        # The rows may be as good as any: it is the template that does not show where their answers are.
        remedy=(f"These rows can be used with {helps}." if helps else _OTHER_TEMPLATE)
        if of_template(first.reason)
        else "Repair the file, or say with data.format and data.columns how it is to be read.",
    )
