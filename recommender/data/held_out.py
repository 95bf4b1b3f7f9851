"""The files of `data.eval` compared with the training rows: rows in both, and rows that cannot be read."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from presets.errors import InputError
from presets.questions import Choice, QuestionError
from recommender.config.schema import Data
from recommender.data.dataset import DataSet
from recommender.data.formats.errors import ShapeError, ShapeQuestionError
from recommender.data.formats.examples import Example, RowProblem, digest
from recommender.data.open_file import OpenFile
from recommender.data.profile.collect import BATCH, LISTED, bad_row
from recommender.data.profile.profile import NEVER, HeldOutFacts
from recommender.data.rows import BadRow
from recommender.data.sources.opening import EVAL, alone, open_sources
from recommender.data.sources.readers import Raw
from recommender.data.sources.readers.base import is_empty
from recommender.data.stages import RowReader
from recommender.data.templates.effects import Losing, held_out_reasoning
from recommender.data.templates.lost_answers import NOTHING, Lost
from recommender.data.tokens.tokenise import Measured
from recommender.data.tokens.trained_answers import Answers
from recommender.units import counted
from recommender.warning import CodedWarning, stop, warning

_ASKED_EVERY = 256
"""Rows."""


def with_held_out(dataset: DataSet, data: Data, base: Path | None, check_cancelled: Callable[[], None]) -> DataSet:
    """The data set with the facts of its held-out files and of the rows that it shares with them.

    Args:
        dataset: What is trained on.
        data: Names the held-out files.
        base: Where relative paths start.
        check_cancelled: Called now and then; raises to end this.

    Raises:
        InputError: A file cannot be read, or is not recognised.
        QuestionError: How its rows are read, or what becomes of their reasoning, is for the person to say.
    """
    files = _opened(dataset.rows, data, base, check_cancelled)
    trained = set(dataset.index.digest)
    seen: set[int] = set()
    bad: list[BadRow] = []
    firsts: dict[str, array[int]] = {}
    rows = copies = shared = refused = 0
    losing: list[Losing] = []
    for number, (file, found, ahead, lost) in enumerate(_measured(dataset, files, data.answers)):
        if number % _ASKED_EVERY == 0:
            check_cancelled()
        if isinstance(found, BadRow):
            refused += 1
            bad += [found] if len(bad) < LISTED else []
            continue
        example, line, content = found
        losing += [Losing(str(file.reader.path), line, example, lost)] if lost.reasoning else []
        many = len(ahead)
        rows += many
        firsts.setdefault(file.reader.path.name, array("I")).extend(ahead)
        shared += many * (content in trained)
        copies += many * (content in seen)
        seen.add(content)
    if losing and dataset.turns is not None:
        raise held_out_reasoning(losing, rows, data, dataset.turns)
    dataset.held_out = tuple(files)
    _say(dataset, HeldOutFacts(rows, copies, shared, refused, tuple(bad), tuple(firsts.items())), data)
    return dataset


_Found = tuple[Example, int, int] | BadRow
"""An example with its line and its digest, or why a row cannot be used."""


def _measured(
    dataset: DataSet, files: Sequence[OpenFile], answers: Answers
) -> Iterator[tuple[OpenFile, _Found, list[int], Lost]]:
    """Each row of held-out files, with the tokens before the first trained one of each of its evaluated rows.

    A batch is tokenised together.
    """
    rows = iter(held_out_rows(files))
    while batch := list(islice(rows, BATCH)):
        parts = [[] if isinstance(found, BadRow) else file.rows.parts(found[0], answers) for file, _, found in batch]
        measured = iter(dataset.measure([part for each in parts for part in each]))
        for (file, line, found), each in zip(batch, parts, strict=True):
            yield file, *_judged(file, line, found, [next(measured) for _ in each])


def _judged(
    file: OpenFile, line: int, found: tuple[Example, int] | BadRow, measured: Sequence[Measured | RowProblem]
) -> tuple[_Found, list[int], Lost]:
    """A held-out row, the tokens before each first trained one, and the lost characters of its answers."""
    if isinstance(found, BadRow):
        return found, [], NOTHING
    ahead, lost = [], NOTHING
    for each in measured:
        if isinstance(each, RowProblem):
            return BadRow(str(file.reader.path), line, each.reason), [], NOTHING
        ahead.append(each.spans[0] if each.spans else NEVER)
        lost += each.lost
    example, content = found
    return (example, line, content), ahead, lost


def _opened(rows: RowReader, data: Data, base: Path | None, check_cancelled: Callable[[], None]) -> list[OpenFile]:
    try:
        return open_sources(data.eval_sources, data, base, rows, check_cancelled, key=EVAL)[0]
    except ShapeQuestionError:
        raise
    except ShapeError as error:
        # Not one of the training rows, about whose columns the screen would ask.
        raise InputError(
            f"Of the held-out data (data.eval): {error.message}", remedy=_own_form(error, rows, data, base)
        ) from error


def _own_form(error: ShapeError, rows: RowReader, data: Data, base: Path | None) -> str:
    """The remedy for a held-out file that has not the format given for all data."""
    own = alone({"data.format": "auto", "data.columns": {}}, error.source, data.eval_sources, EVAL)
    try:
        source = Data.model_validate({"eval": own[EVAL]}).eval_sources[error.source]
        open_sources([source], data, base, rows, key=EVAL)
    except QuestionError:
        pass
    except InputError:
        return "Give its rows the training rows' form, or say its own: data.eval: [{path: …, format: …, columns: …}]."
    return f"Read it by its own columns: {Choice(own, '').options}"


def held_out_rows(files: Sequence[OpenFile]) -> Iterator[tuple[OpenFile, int, tuple[Example, int] | BadRow]]:
    """Each row of held-out files: file, line, and the example with its digest or the reason why it cannot be used."""
    for file in files:
        for row in file.reader.rows():
            if not isinstance(row, Raw):
                yield file, row.line, row
                continue
            if is_empty(row.values):
                continue
            try:
                example = file.rows.example(row.values, file.shape)
                yield file, row.line, (example, digest(example))
            except RowProblem as problem:
                yield file, row.line, bad_row(file.reader, row, problem)


def _say(dataset: DataSet, facts: HeldOutFacts, data: Data) -> None:
    profile = dataset.profile
    refused = counted(facts.bad_row_count, "row")
    stops: list[CodedWarning] = []
    warnings: list[CodedWarning] = []
    if facts.bad_row_count and data.skip_bad_rows:
        warnings.append(
            warning("held_out_left_out", f"Left out of the held-out files because they cannot be used: {refused}.")
        )
    elif facts.bad_row_count:
        first = facts.bad_rows[0]
        stops.append(
            stop(
                "held_out_bad_rows",
                f"{refused} of the held-out files cannot be used; the first, {first.file} line "
                f"{first.line}, {first.reason}.",
                "Repair them, or leave them out with data.skip_bad_rows: true.",
            )
        )
    if facts.also_trained:
        warnings.append(
            warning(
                "held_out_also_trained",
                f"{facts.also_trained} of {facts.rows} held-out rows {'is' if facts.also_trained == 1 else 'are'} also "
                "trained on: eval_loss would look better than it is.",
            )
        )
    if facts.copies:
        exact = "is an exact copy of an earlier one" if facts.copies == 1 else "are exact copies of earlier ones"
        warnings.append(warning("held_out_copies", f"{facts.copies} of {facts.rows} held-out rows {exact} of them."))
    dataset.profile = replace(
        profile,
        held_out=facts,
        stops=(*profile.stops, *stops),
        warnings=(*profile.warnings, *warnings),
        bad_rows=(*profile.bad_rows, *facts.bad_rows)[:LISTED],
        bad_row_count=profile.bad_row_count + facts.bad_row_count,
        skipped_rows=profile.skipped_rows + (facts.bad_row_count if data.skip_bad_rows else 0),
    )
