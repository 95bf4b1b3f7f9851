"""RowReader: the interface by which opening, profile and data set read the rows of a stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from recommender.data.formats.examples import Example, RowProblem
from recommender.data.formats.shape import Columns, Shape
from recommender.data.tokens.tokenise import Measured, TokenisedRow
from recommender.data.tokens.trained_answers import Answers
from recommender.stages import Stage


class TrainingRow(NamedTuple):
    """One row for the trainer."""

    columns: dict[str, list[int]]
    """The stage's columns."""
    tokens: int
    """Tokens of all its sequences, after the cut."""
    trained: int
    """Tokens of these that the loss sees; 0 where the row teaches nothing."""


class RowReader(Protocol):
    """The rows of one stage.

    A row of a file becomes an example, an example one or more training rows (`parts`), and a training row one or more
    sequences (`sides`): one where an answer is learnt, two where a better and a worse one are compared.
    """

    @property
    def stage(self) -> Stage:
        """Facts of the stage."""

    def recognise(
        self, rows: Sequence[Mapping[str, Any]], *, where: str, wanted: str = "auto", given: Columns | None = None
    ) -> Shape:
        """Return the format of a file by its first rows.

        Args:
            rows: The first rows, at least one.
            where: The file, for messages.
            wanted: `data.format`: a shape's name or 'auto'.
            given: `data.columns`: role to column.

        Raises:
            ShapeError: The stage cannot take such rows, or does not know how: then as a question.
        """

    def example(self, row: Mapping[str, Any], shape: Shape) -> Example:
        """Return the example of a row.

        Raises:
            RowProblem: It cannot be used.
        """

    def parts(self, example: Example, answers: Answers) -> Sequence[Example]:
        """Return the training rows of an example, by `data.answers`."""

    def sides(self, example: Example) -> Sequence[Example]:
        """Return the sequences of a training row, each of which the tokeniser takes."""

    def measured(self, sides: Sequence[Measured]) -> Measured:
        """Return the token counts of a training row from those of its sequences."""

    def training_row(self, sides: Sequence[TokenisedRow], max_length: int) -> TrainingRow:
        """Return a row for the trainer, its sequences cut at max_length."""


def measure_rows(
    reader: RowReader, rows: Sequence[Example], measure: Callable[[Sequence[Example]], Sequence[Measured | RowProblem]]
) -> list[Measured | RowProblem]:
    """Return the token counts of training rows, or the reason why one cannot be used.

    Args:
        reader: Of their stage.
        rows: Training rows.
        measure: Measures sequences, all in one batch.
    """
    sides = [reader.sides(row) for row in rows]
    return joined(reader, [len(each) for each in sides], measure([side for each in sides for side in each]))


def joined(
    reader: RowReader, counts: Sequence[int], found: Sequence[Measured | RowProblem]
) -> list[Measured | RowProblem]:
    """Return the token counts of training rows from those of their sequences.

    Args:
        reader: Of their stage.
        counts: Sequences of each row.
        found: The counts of every sequence, or why one cannot be used: then its row cannot be used either.
    """
    sequences = iter(found)
    return [_joined(reader, [next(sequences) for _ in range(count)]) for count in counts]


def _joined(reader: RowReader, found: Sequence[Measured | RowProblem]) -> Measured | RowProblem:
    sides: list[Measured] = []
    for side in found:
        if isinstance(side, RowProblem):
            return side
        sides.append(side)
    return reader.measured(sides)
