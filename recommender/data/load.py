"""From `data` of a configuration to a profiled data set: one pass over the rows, in batches, cancellable."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.config.schema import Data
from recommender.data.dataset import DataSet, OpenFile, RowIndex, Sample
from recommender.data.document import document, histogram
from recommender.data.estimate import measure_without_tokenizer
from recommender.data.examples import Chat, Example, RowProblem, Text, digest
from recommender.data.files import find_files, format_of
from recommender.data.findings import Findings, roles_out_of_order, stops, warnings
from recommender.data.normalise import normalise
from recommender.data.profile import BadRow, DataProfile
from recommender.data.readers import Raw, Reader, open_reader
from recommender.data.readers.base import excerpt
from recommender.data.registry import INDEX, Entry, explain_index, find_entry
from recommender.data.shapes import Shape, recognise
from recommender.data.split import overlap, split
from recommender.data.synthetic import synthetic_profile
from recommender.data.templates import ChatTemplate, choose_template
from recommender.data.tokenise import Measured, Tokeniser
from recommender.data.turns import TurnFinder
from recommender.data.vocabulary import load_vocabulary
from recommender.model.spec import ModelSpec

__all__ = [
    "Cancelled",
    "DataSet",
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

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all; the second is extrapolated from bytes until the end is reached."""

BATCH = 256
"""Rows that are encoded together."""
PEEK = 100
"""Rows that the shape is recognised by."""
_OPTIONAL = ("input", "history", "system", "tools")
LISTED = 100
"""Bad rows that are listed; all are counted."""


class Cancelled(Exception):
    """The person stopped the profile; nothing came of it."""


def profile_data(
    data: Data,
    *,
    model: ModelSpec | None,
    base: Path | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> DataSet:
    """Read, recognise and tokenise the training rows of a configuration.

    Args:
        data: The `data` section: train, format, columns, template, train_on, skip_bad_rows, max_length.
        model: Whose tokenizer and chat template are used; without one, or without its tokenizer on this disk,
            lengths are estimated from bytes and the profile says so.
        base: Where relative paths start; the current folder when None.
        progress: Told rows done and rows in all, once a batch.
        cancelled: Asked once a batch.

    Raises:
        InputError: A file cannot be read, is not recognised, or has no usable row.
        Cancelled: `cancelled` said so.
    """
    sources = [
        (item, 1.0, None) if isinstance(item, str) else (item.path, item.weight, item.split) for item in data.train
    ]
    return _profile(sources, data, model, base, progress, cancelled)


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
    sources: Iterable[tuple[str, float, str | None]],
    data: Data,
    model: ModelSpec | None,
    base: Path | None,
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> DataSet:
    files, weights = _open(sources, data, base)
    tokeniser, template = _tokeniser(data, model, base)
    builder = _Builder(data, files, weights, tokeniser)
    builder.run(progress or (lambda _done, _total: None), cancelled or (lambda: False))
    return builder.dataset(template)


def _open(
    sources: Iterable[tuple[str, float, str | None]], data: Data, base: Path | None
) -> tuple[list[OpenFile], list[float]]:
    """Every file of every source with its reader, shape and weight."""
    files: list[OpenFile] = []
    weights: list[float] = []
    for name, weight, part in sources:
        entry = find_entry(name, base)
        for path in find_files(name if entry is None else str(entry.path), base if entry is None else None):
            if path.name == INDEX:
                raise explain_index(path)
            reader = open_reader(path, split=part)
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


class _Builder:
    """Collects the profile, batch by batch."""

    def __init__(self, data: Data, files: list[OpenFile], weights: list[float], tokeniser: Tokeniser | None) -> None:
        self._data = data
        self._files = files
        self._weights = weights
        self._tokeniser = tokeniser
        self._index = RowIndex()
        self._lengths = array("I")
        self._spans = array("I")
        self._span_start = array("Q", [0])
        self._bad: list[BadRow] = []
        self._seen: set[int] = set()
        self._found = Findings()

    def run(self, progress: Progress, cancelled: Callable[[], bool]) -> None:
        """Go through every file."""
        total = sum(file.reader.size for file in self._files)
        passed = 0
        done = 0
        for number, file in enumerate(self._files):
            for batch in _batches(file.reader.rows()):
                if cancelled():
                    raise Cancelled
                self._take(number, batch)
                done += len(batch)
                last = batch[-1]
                position = passed + (last.end if isinstance(last, Raw) else 0)
                progress(done, max(done, done * total // position) if position else done)
            passed += file.reader.size
        progress(done, done)

    def _take(self, number: int, batch: list[Raw | BadRow]) -> None:
        path = str(self._files[number].reader.path)
        rows: list[Raw] = []
        examples: list[Example] = []
        digests: list[int] = []
        for row in batch:
            if isinstance(row, BadRow):
                self._reject(row)
                continue
            try:
                example = normalise(row.values, self._files[number].shape)
                digests.append(digest(example))
            except RowProblem as problem:
                self._reject(_bad(path, row, problem))
                continue
            rows.append(row)
            examples.append(example)
        for row, example, content, measured in zip(rows, examples, digests, self._measure(examples), strict=True):
            if isinstance(measured, RowProblem):
                self._reject(_bad(path, row, measured))
            else:
                self._add(number, row, example, content, measured)

    def _measure(self, examples: list[Example]) -> list[Measured | RowProblem]:
        if self._tokeniser is None:
            return [*measure_without_tokenizer(examples, self._data.train_on)]
        return self._tokeniser.measure(examples)

    def _reject(self, row: BadRow) -> None:
        self._found.bad += 1
        if len(self._bad) < LISTED:
            self._bad.append(row)

    def _add(self, number: int, row: Raw, example: Example, content: int, measured: Measured) -> None:
        self._found.see(measured, duplicate=content in self._seen)
        self._found.chats += isinstance(example, Chat)
        self._found.texts += isinstance(example, Text)
        self._found.disordered += isinstance(example, Chat) and roles_out_of_order(example)
        self._seen.add(content)
        for _ in range(_copies(self._weights[number], content)):
            self._index.add(number, row.line, row.start, row.end, content)
            self._lengths.append(measured.length)
            self._spans.extend(measured.spans)
            self._span_start.append(len(self._spans) // 2)

    def dataset(self, template: ChatTemplate | None) -> DataSet:
        """What was collected."""
        if not self._lengths:
            raise (
                _nothing_usable(self._bad[0])
                if self._bad
                else InputError("No row is left of the training data.", remedy="Raise the weights of its sources.")
            )
        return DataSet(
            self._profile(template),
            self._files,
            self._index,
            self._tokeniser,
            template if self._found.chats else None,
            self._data.train_on,
        )

    def _profile(self, template: ChatTemplate | None) -> DataProfile:
        found = self._found
        turns = self._tokeniser.turns if self._tokeniser else None
        used = template if found.chats else None
        shapes = [file.shape for file in self._files]
        trained = len(self._spans) > 0
        found.nothing_trained = not trained
        return DataProfile(
            files=tuple(file.reader.path for file in self._files),
            shape=shapes[0].name if len({shape.name for shape in shapes}) == 1 else "mixed",
            shape_reason=_reason(self._files),
            columns=dict(shapes[0].columns),
            lengths=self._lengths,
            spans=self._spans,
            span_start=self._span_start,
            bad_rows=tuple(self._bad),
            bad_row_count=found.bad,
            tokenizer="exact" if self._tokeniser else "bytes",
            template=used.name if used else "none",
            trains_end_of_turn=found.trains_end_of_turn if self._tokeniser else None,
            duplicates=found.duplicates,
            empty_answers=found.empty,
            stops=stops(found, self._data, self._bad, self._tokeniser),
            warnings=warnings(found, self._data, used, self._tokeniser, self._files),
            columns_seen=tuple(dict.fromkeys(name for file in self._files for name in file.shape.seen)),
            mask_method=" and ".join(sorted(found.methods)),
            end_of_turn=turns.end_of_turn[0] if turns and used and turns.end_of_turn else "",
            skipped_rows=found.bad if self._data.skip_bad_rows else 0,
        )


def _batches(rows: Iterator[Raw | BadRow]) -> Iterator[list[Raw | BadRow]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _bad(path: str, row: Raw, problem: RowProblem) -> BadRow:
    return BadRow(path, row.line, problem.reason, excerpt(str(row.values)))


def _copies(weight: float, content: int) -> int:
    """How often a row of this weight is taken: the whole part, and once more for the fraction's share of contents."""
    whole = int(weight)
    return whole + (content / 2**64 < weight - whole)


def _reason(files: list[OpenFile]) -> str:
    """Why the shapes were taken, file by file where they differ."""
    reasons = dict.fromkeys(
        f"{file.shape.reason}; {file.reader.note}" if file.reader.note else file.shape.reason for file in files
    )
    return " · ".join(reasons)
