"""From `data` of a configuration to a profiled data set: one pass over the rows, in batches, cancellable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from presets.errors import InputError
from recommender.config.schema import Data
from recommender.data import cache
from recommender.data.dataset import DataSet, OpenFile, Sample
from recommender.data.document import document, histogram
from recommender.data.examples import RowProblem, digest
from recommender.data.files import find_files, format_of
from recommender.data.findings import stops, warnings
from recommender.data.first_look import WORTH_IT, FirstLook, first_look
from recommender.data.gather import Cancelled, Gathered, Gatherer
from recommender.data.normalise import normalise
from recommender.data.profile import BadRow, DataProfile
from recommender.data.readers import Raw, Reader, open_reader
from recommender.data.readers.bytefile import PACKED
from recommender.data.registry import INDEX, Entry, explain_index, find_entry
from recommender.data.shapes import Shape, recognise
from recommender.data.split import overlap, split
from recommender.data.synthetic import synthetic_profile
from recommender.data.templates import ChatTemplate, choose_template
from recommender.data.tokenise import Tokeniser
from recommender.data.turns import TurnFinder
from recommender.data.vocabulary import load_vocabulary
from recommender.model.spec import ModelSpec

__all__ = [
    "Cancelled",
    "DataSet",
    "FirstLook",
    "Progress",
    "Sample",
    "document",
    "histogram",
    "overlap",
    "profile_data",
    "profile_eval",
    "split",
    "synthetic_profile",
]

Where = tuple[str, float, str | None]
"""A source: its name, how often its rows are taken, and its split."""
Progress = Callable[[int, int], None]
"""Called with rows done and rows in all; the second is extrapolated from bytes until the end is reached."""

PEEK = 100
"""Rows that the shape is recognised by."""
PACKED_WORTH_IT = 1024 * 1024
"""Bytes of packed files; less is unpacked and read as quickly as a part of it."""
UNPACKED_AT_FIRST = 8 * 1024 * 1024
HASHED_QUICKLY = 256 * 1024 * 1024
"""Bytes of data that are compared with what is kept before anything else is done."""
_OPTIONAL = ("input", "history", "system", "tools")
"""Columns that an index may name and a file may lack."""


def profile_data(
    data: Data,
    *,
    model: ModelSpec | None,
    base: Path | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    first: Callable[[FirstLook], None] | None = None,
) -> DataSet:
    """Read, recognise and tokenise the training rows of a configuration.

    Args:
        data: The `data` section: train, format, columns, template, train_on, skip_bad_rows, max_length.
        model: Whose tokenizer and chat template are used; without one, or without its tokenizer on this disk,
            lengths are estimated from bytes and the profile says so.
        base: Where relative paths start; the current folder when None.
        progress: Told rows done and rows in all, once a batch.
        cancelled: Asked once a batch.
        first: Told what some rows say of all, within a second or two, where reading all takes longer.

    Raises:
        InputError: A file cannot be read, is not recognised, or has no usable row.
        Cancelled: `cancelled` said so.
    """
    sources = [
        (item, 1.0, None) if isinstance(item, str) else (item.path, item.weight, item.split) for item in data.train
    ]
    dataset = _profile(sources, data, model, base, progress, cancelled, first)
    return _with_overlap(dataset, data, base) if data.eval else dataset


def _with_overlap(dataset: DataSet, data: Data, base: Path | None) -> DataSet:
    """The same with a warning where rows of the held-out files are trained on too: evaluation would flatter."""
    files, _ = _open([(path, 1.0, None) for path in data.eval or []], data, base)
    trained = set(dataset.index.digest)
    rows = shared = 0
    for file in files:
        for row in file.reader.rows():
            if isinstance(row, Raw):
                with suppress(RowProblem):
                    shared += digest(normalise(row.values, file.shape)) in trained
                    rows += 1
    if shared:
        said = f"{shared} of {rows} held-out rows are also trained on: eval_loss would look better than it is."
        dataset.profile = replace(dataset.profile, warnings=(*dataset.profile.warnings, said))
    return dataset


def profile_eval(
    data: Data, *, model: ModelSpec | None, base: Path | None = None, cancelled: Callable[[], bool] | None = None
) -> DataSet | None:
    """The held-out files of `data.eval`, read as the training rows are; None when there are none.

    Raises:
        InputError: As `profile_data`.
        Cancelled: `cancelled` said so.
    """
    if not data.eval:
        return None
    return _profile([(path, 1.0, None) for path in data.eval], data, model, base, None, cancelled)


def _profile(
    sources: Sequence[Where],
    data: Data,
    model: ModelSpec | None,
    base: Path | None,
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
    first: Callable[[FirstLook], None] | None = None,
) -> DataSet:
    stopped = cancelled or (lambda: False)

    def tick() -> None:
        if stopped():
            raise Cancelled

    tokeniser, template = _tokeniser(data, model, base)

    def build(some: Gathered, of: list[OpenFile]) -> DataSet:
        return _gathered_to_dataset(some, data, of, tokeniser, template)

    def look(upto: int | None = None) -> None:
        """Tell what some rows say; of packed files, before they are unpacked."""
        if first is None:
            return
        some, their_weights = _open(sources, data, base, tick, upto) if upto else (files, weights)
        found = first_look(some, their_weights, tokeniser, data.train_on, build, cancelled=stopped)
        if found is not None:
            first(found)

    on_disk = _bytes_on_disk(sources, base)
    looked = on_disk.packed > PACKED_WORTH_IT
    if looked:
        look(UNPACKED_AT_FIRST)
    files, weights = _open(sources, data, base, tick)
    # To read a file only to know whether it is the same takes a second a gigabyte.
    if not looked and on_disk.total > HASHED_QUICKLY:
        looked = True
        look()
    key = cache.key_of(files, weights, tokeniser, template, data.train_on)
    kept = cache.load(key, tokeniser) if key else None
    if kept is None:
        if not looked and on_disk.total > WORTH_IT:
            look()
        gatherer = Gatherer(files, weights, tokeniser, data.train_on)
        kept = gatherer.run(progress or (lambda _done, _total: None), stopped)
        if key:
            cache.save(key, kept, tokeniser)
    return _gathered_to_dataset(kept, data, files, tokeniser, template)


class _OnDisk(NamedTuple):
    """Bytes of the files as they lie there."""

    total: int
    packed: int
    """Of those that have to be unpacked."""


def _bytes_on_disk(sources: Sequence[Where], base: Path | None) -> _OnDisk:
    sizes = [
        (path.stat().st_size, path.suffix.lower() in PACKED)
        for name, _, _ in sources
        for path, _ in _paths(name, base)
        if path.is_file()
    ]
    return _OnDisk(sum(size for size, _ in sizes), sum(size for size, packed in sizes if packed))


def _paths(name: str, base: Path | None) -> list[tuple[Path, Entry | None]]:
    """The files of a source, each with what an index says of it."""
    entry = find_entry(name, base)
    found = find_files(name if entry is None else str(entry.path), base if entry is None else None)
    return [(path, entry) for path in found]


def _open(
    sources: Iterable[Where],
    data: Data,
    base: Path | None,
    tick: Callable[[], None] | None = None,
    upto: int | None = None,
) -> tuple[list[OpenFile], list[float]]:
    """Every file of every source with its reader, shape and weight."""
    files: list[OpenFile] = []
    weights: list[float] = []
    for name, weight, part in sources:
        for path, entry in _paths(name, base):
            if path.name == INDEX:
                raise explain_index(path)
            reader = open_reader(path, split=part, upto=upto, tick=tick)
            files.append(OpenFile(reader, _shape(reader, data, entry)))
            weights.append(weight)
    if not files:
        raise InputError("No training data is given.", remedy="Give a file: --data FILE, or data.train in the file.")
    return files, weights


def _shape(reader: Reader, data: Data, entry: Entry | None) -> Shape:
    first_bad: BadRow | None = None
    usable = []
    for row in reader.rows():
        if isinstance(row, Raw):
            usable.append(row.values)
        else:
            first_bad = first_bad or row
        if len(usable) == PEEK:
            break
    if not usable and first_bad is not None:
        raise _nothing_usable(first_bad)
    if not usable:
        raise InputError(f"{reader.path} has no row.", remedy="Give a file with at least one row.")
    if entry is not None and data.format == "auto" and not data.columns and format_of(reader.path) != "text":
        return _entry_shape(entry, usable, reader)
    if format_of(reader.path) == "text" and data.format in {"auto", "text"}:
        return Shape("text", {"text": "text"}, "high", "plain text", ("text",))
    return recognise(usable, where=str(reader.path), wanted=data.format, given=data.columns)


def _entry_shape(entry: Entry, rows: list[dict[str, Any]], reader: Reader) -> Shape:
    """As the index says; pairs and marked rows are not taken by an index alone, so that the person says so."""
    if entry.format in {"preference", "kto"}:
        return recognise(rows, where=str(reader.path))
    seen = {column for row in rows for column in row}
    columns = {role: column for role, column in entry.columns.items() if column in seen or role not in _OPTIONAL}
    shape = recognise(rows, where=str(reader.path), wanted=entry.format, given=columns)
    why = f"{shape.name}, as {INDEX} says of '{entry.name}'" if entry.format != "auto" else shape.why
    return replace(shape, why=why, tags=entry.tags)


def _nothing_usable(first: BadRow) -> InputError:
    shown = f" It starts: {first.start}" if first.start else ""
    return InputError(
        f"No row of {first.file} can be used. Line {first.line} {first.reason}.{shown}",
        remedy="Repair the file, or say with data.format and data.columns how it is to be read.",
    )


def _tokeniser(data: Data, model: ModelSpec | None, base: Path | None) -> tuple[Tokeniser | None, ChatTemplate | None]:
    vocabulary = load_vocabulary(model.path) if model else None
    if vocabulary is None or model is None:
        return None, None
    template = choose_template(data.template, vocabulary, model_type=model.model_type, base=base)
    turns = TurnFinder(template, vocabulary)
    return Tokeniser(vocabulary, turns, data.train_on, model.vocab_size), template


def _gathered_to_dataset(
    kept: Gathered,
    data: Data,
    files: list[OpenFile],
    tokeniser: Tokeniser | None,
    template: ChatTemplate | None,
) -> DataSet:
    if not kept.lengths:
        raise (
            _nothing_usable(kept.bad[0])
            if kept.bad
            else InputError("No row is left of the training data.", remedy="Raise the weights of its sources.")
        )
    used = template if kept.found.chats else None
    return DataSet(_profile_of(kept, data, files, tokeniser, used), files, kept.index, tokeniser, used, data.train_on)


def _profile_of(
    kept: Gathered, data: Data, files: list[OpenFile], tokeniser: Tokeniser | None, used: ChatTemplate | None
) -> DataProfile:
    found = kept.found
    turns = tokeniser.turns if tokeniser else None
    shapes = [file.shape for file in files]
    found.nothing_trained = not kept.spans
    return DataProfile(
        files=tuple(file.reader.path for file in files),
        shape=shapes[0].name if len({shape.name for shape in shapes}) == 1 else "mixed",
        shape_reason=_reason(files),
        columns=dict(shapes[0].columns),
        lengths=kept.lengths,
        spans=kept.spans,
        span_start=kept.span_start,
        bad_rows=tuple(kept.bad),
        bad_row_count=found.bad,
        tokenizer="exact" if tokeniser else "bytes",
        template=used.name if used else "none",
        trains_end_of_turn=found.trains_end_of_turn if tokeniser else None,
        duplicates=found.duplicates,
        empty_answers=found.empty,
        stops=stops(found, data, kept.bad, tokeniser),
        warnings=warnings(found, data, used, tokeniser, files),
        columns_seen=tuple(dict.fromkeys(name for file in files for name in file.shape.seen)),
        mask_method=" and ".join(sorted(found.methods)),
        end_of_turn=turns.end_of_turn[0] if turns and used and turns.end_of_turn else "",
        skipped_rows=found.bad if data.skip_bad_rows else 0,
    )


def _reason(files: list[OpenFile]) -> str:
    """Why the shapes were taken, file by file where they differ."""
    reasons = dict.fromkeys(
        f"{file.shape.reason}; {file.reader.note}" if file.reader.note else file.shape.reason for file in files
    )
    return " · ".join(reasons)
