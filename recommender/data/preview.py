"""Preview of an answer to a question: the first row of a data set under other settings, without reading the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from presets.errors import InputError
from recommender.config.schema import Data
from recommender.data.formats.examples import Example, RowProblem
from recommender.data.load import tokeniser_of
from recommender.data.open_file import OpenFile
from recommender.data.sources.opening import open_sources
from recommender.data.sources.readers import Raw
from recommender.data.sources.readers.base import is_empty
from recommender.data.stages import row_reader
from recommender.data.tokens.estimated_lengths import estimated_sample
from recommender.data.tokens.tokenise import Piece, Rendered, Tokeniser
from recommender.model.spec import ModelSpec
from recommender.stages import Stage
from recommender.stages.sft import SFT


def first_row(
    data: Data, *, model: ModelSpec | None, stage: Stage = SFT, source: int = 0, base: Path | None = None
) -> tuple[Piece, ...]:
    """The parts of the first row as the model would see it, each with whether it is trained.

    Args:
        data: How the rows are read.
        model: Whose chat template is used.
        stage: What is trained.
        source: Which of the data sets.
        base: Where relative paths start.

    Raises:
        InputError: The rows cannot be read so, or something else is asked then.
    """
    tokeniser, _ = tokeniser_of(data, model, base)
    files, _ = open_sources(data.sources, data, base, row_reader(stage))
    example = _first(next(file for file in files if file.source == source))
    if tokeniser is None:
        return estimated_sample(example, data.train_on, data.max_length)
    return tuple(_pieces(_rendered(tokeniser, example)))


def _first(file: OpenFile) -> Example:
    row = next(row for row in file.reader.rows() if isinstance(row, Raw) and not is_empty(row.values))
    try:
        return file.rows.example(row.values, file.shape)
    except RowProblem as problem:
        raise InputError(f"The first row is left out: it {problem.reason}.") from problem


def _rendered(tokeniser: Tokeniser, example: Example) -> Rendered:
    (row,) = tokeniser.render([example])
    if isinstance(row, RowProblem):
        raise InputError(f"The first row is left out: it {row.reason}.") from row
    return row


def _pieces(row: Rendered) -> Iterator[Piece]:
    """The text in parts that are trained or not."""
    done = 0
    for start, end in row.spans:
        yield Piece(row.text[done:start], None, trained=False, special=False, cut=False)
        yield Piece(row.text[start:end], None, trained=True, special=False, cut=False)
        done = end
    yield Piece(row.text[done:], None, trained=False, special=False, cut=False)
