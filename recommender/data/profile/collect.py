"""Statistics of every row, collected while a data set is read: numbers in arrays, never the rows."""

from __future__ import annotations

import json
import re
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from recommender.data.dataset import RowIndex
from recommender.data.formats.examples import Chat, Example, RowProblem, digest
from recommender.data.open_file import OpenFile
from recommender.data.profile.flags import FlagCounts
from recommender.data.rows import BadRow
from recommender.data.sources.readers import Raw, Reader
from recommender.data.sources.readers.base import excerpt, in_list, is_empty
from recommender.data.stages.base import joined, measure_rows
from recommender.data.tokens.estimated_lengths import measure_without_tokenizer
from recommender.data.tokens.tokenise import Measured, Rendered, Tokeniser, TrainOn
from recommender.data.tokens.trained_answers import Answers

if TYPE_CHECKING:
    from tokenizers import Encoding

    from recommender.data.sources.readers.bytefile import ByteFile

BATCH = 256
"""Rows that are encoded together."""
AHEAD = 2
"""Batches that are encoded while the next is read: at the end of one the other keeps every core busy."""
LISTED = 100
"""Bad rows that are listed; all are counted."""
_HEAD = 1000
"""Bytes of a bad row that are looked at to show how it begins."""


class Cancelled(Exception):
    """The profile was cancelled by the person."""


@dataclass
class RowStats:
    """Statistics of all rows of a data set: 32 bytes a row and its spans."""

    index: RowIndex = field(default_factory=RowIndex)
    lengths: array[int] = field(default_factory=lambda: array("I"))
    spans: array[int] = field(default_factory=lambda: array("I"))
    span_start: array[int] = field(default_factory=lambda: array("Q", [0]))
    turns: array[int] = field(default_factory=lambda: array("H"))
    """Turns of each conversation; 0 for text and pairs."""
    read: int = 0
    """Usable rows as they stand in the files; more rows are trained where each answer has one of its own."""
    bad: list[BadRow] = field(default_factory=list)
    found: FlagCounts = field(default_factory=FlagCounts)

    def reject(self, row: BadRow) -> None:
        """Count a bad row, and list it if there are not too many yet."""
        self.found.bad += 1
        if len(self.bad) < LISTED:
            self.bad.append(row)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows in work: read and rendered, being encoded."""

    file: int
    rows: list[Raw]
    """As they stand; once for each of `examples`."""
    parts: list[int]
    """The index of each among the examples of its row."""
    examples: list[Example]
    digests: list[int]
    sides: list[int]
    """Sequences of each; they stand one after the other in `rendered`."""
    rendered: list[Rendered | RowProblem]
    encoded: Future[list[Encoding]] | None


class Profiler:
    """Reads files once and collects their row statistics.

    While one batch is encoded, which needs no Python, the next is read and rendered.

    Args:
        files: What is read.
        weights: How often each file's rows are taken.
        tokeniser: None estimates lengths from the text.
        train_on: Which tokens the loss sees.
        answers: Which answers of a conversation are trained.
    """

    def __init__(
        self,
        files: list[OpenFile],
        weights: list[float],
        tokeniser: Tokeniser | None,
        train_on: TrainOn,
        answers: Answers = "all",
    ) -> None:
        self.stats = RowStats()
        self._files = files
        self._weights = weights
        self._tokeniser = tokeniser
        self._train_on = train_on
        self._answers = answers
        self._seen: set[int] = set()

    def run(self, progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> RowStats:
        """Go through every file.

        Raises:
            Cancelled: `cancelled` said so.
            InputError: A file as a whole cannot be read.
        """
        total = sum(file.reader.size for file in self._files)
        passed = done = 0
        waiting: deque[_Batch] = deque()
        with ThreadPoolExecutor(AHEAD, "encode") as encoder:
            for number, file in enumerate(self._files):
                for raw in _batches(file.reader.rows()):
                    if cancelled():
                        raise Cancelled
                    waiting.append(self._begin(number, raw, encoder))
                    if len(waiting) > AHEAD:
                        self._finish(waiting.popleft())
                    done += len(raw)
                    position = passed + (raw[-1].end if isinstance(raw[-1], Raw) else 0)
                    progress(done, max(done, done * total // position) if position else done)
                passed += file.reader.size
            while waiting:
                self._finish(waiting.popleft())
        progress(done, done)
        return self.stats

    def _begin(self, number: int, raw: list[Raw | BadRow], encoder: ThreadPoolExecutor) -> _Batch:
        """Normalise and render a batch, and start its encoding."""
        file = self._files[number]
        reader = file.reader
        rows: list[Raw] = []
        parts: list[int] = []
        examples: list[Example] = []
        digests: list[int] = []
        for row in raw:
            if isinstance(row, BadRow):
                self.stats.reject(row)
                continue
            if is_empty(row.values):
                self.stats.found.blank += 1
                continue
            try:
                example = file.rows.example(row.values, file.shape)
                content = digest(example)
            except RowProblem as problem:
                self.stats.reject(bad_row(reader, row, problem))
                continue
            for part, each in enumerate(file.rows.parts(example, self._answers)):
                rows.append(row)
                parts.append(part)
                examples.append(each)
                digests.append(content)
        if self._tokeniser is None:
            return _Batch(number, rows, parts, examples, digests, [], [], None)
        sides = [file.rows.sides(example) for example in examples]
        rendered = self._tokeniser.render([side for each in sides for side in each])
        encoded = encoder.submit(self._tokeniser.encode, rendered)
        return _Batch(number, rows, parts, examples, digests, [len(each) for each in sides], rendered, encoded)

    def _finish(self, batch: _Batch) -> None:
        """Store the statistics of a batch."""
        reader = self._files[batch.file].reader
        copy = False
        for row, part, example, content, measured in zip(
            batch.rows, batch.parts, batch.examples, batch.digests, self._measured(batch), strict=True
        ):
            if not part:
                # The rows of one conversation share its content, and are no copies of each other.
                copy = content in self._seen
                self._seen.add(content)
            if isinstance(measured, RowProblem):
                self.stats.reject(bad_row(reader, row, measured))
            else:
                self.stats.read += not part
                self._add(batch.file, row, part, example, content, measured, duplicate=copy)

    def _measured(self, batch: _Batch) -> list[Measured | RowProblem]:
        file = self._files[batch.file]
        if self._tokeniser is None or batch.encoded is None:
            return measure_rows(
                file.rows,
                batch.examples,
                lambda sides: measure_without_tokenizer(sides, self._train_on, file.around),
            )
        return joined(file.rows, batch.sides, self._tokeniser.measured(batch.rendered, batch.encoded.result()))

    def _add(
        self, number: int, row: Raw, part: int, example: Example, content: int, measured: Measured, *, duplicate: bool
    ) -> None:
        kept = self.stats
        flags = kept.found.see(measured, example, duplicate=duplicate)
        turns = min(len(example.messages), 65535) if isinstance(example, Chat) else 0
        for _ in range(copies(self._weights[number], content)):
            kept.index.add(number, row.line, row.start, row.end, content, flags, part)
            kept.lengths.append(measured.length)
            kept.turns.append(turns)
            kept.spans.extend(measured.spans)
            kept.span_start.append(len(kept.spans) // 2)


def _batches(rows: Iterator[Raw | BadRow]) -> Iterator[list[Raw | BadRow]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def bad_row(reader: Reader, row: Raw, problem: RowProblem) -> BadRow:
    """The entry of a row that was read and cannot be used."""
    reason = problem.reason + in_list(row.number)
    return BadRow(str(reader.path), row.line, reason, excerpt(_standing(reader, row)))


def _standing(reader: Reader, row: Raw) -> str:
    """The row's beginning as it stands in its file, on one line; as JSON where the file is no text (Parquet)."""
    source: ByteFile | None = getattr(reader, "source", None)
    if source is None:
        return json.dumps(row.values, ensure_ascii=False, default=str)
    text = source.at(row.start, min(row.end, row.start + _HEAD)).decode("utf-8", "ignore")
    return re.sub(r"\s*\n\s*", " ", text.strip())


def copies(weight: float, content: int) -> int:
    """Number of times that a row is taken: its weight's whole part, and once more for the fraction's share of rows."""
    whole = int(weight)
    return whole + (content / 2**64 < weight - whole)
