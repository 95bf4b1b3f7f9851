"""Rows of supervised fine-tuning: conversations, prompts with their completion, and text, one sequence a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from recommender.data.formats.examples import Example
from recommender.data.formats.normalise import normalise
from recommender.data.formats.recognise import recognise
from recommender.data.formats.shape import Columns, Shape
from recommender.data.stages.base import RowReader, TrainingRow
from recommender.data.tokens.tokenise import Measured, TokenisedRow
from recommender.data.tokens.trained_answers import Answers, rows_of
from recommender.stages.sft import SFT


class SupervisedRows(RowReader):
    """Reads rows with an answer to be learnt; of compared or rated answers it asks which."""

    stage = SFT

    def recognise(
        self, rows: Sequence[Mapping[str, Any]], *, where: str, wanted: str = "auto", given: Columns | None = None
    ) -> Shape:
        """See `RowReader`; several answers of a row are asked about, and media are refused."""
        return recognise(rows, where=where, wanted=wanted, given=given)

    def example(self, row: Mapping[str, Any], shape: Shape) -> Example:
        """See `RowReader`."""
        return normalise(row, shape)

    def parts(self, example: Example, answers: Answers) -> Sequence[Example]:
        """See `RowReader`."""
        return rows_of(example, answers)

    def sides(self, example: Example) -> Sequence[Example]:
        """Return the training row: it is its only sequence."""
        return (example,)

    def measured(self, sides: Sequence[Measured]) -> Measured:
        """Return the counts of the only sequence."""
        return sides[0]

    def training_row(self, sides: Sequence[TokenisedRow], max_length: int) -> TrainingRow:
        """Return ids and labels, equally long; a label is -100 where the loss does not look."""
        row = sides[0]
        labels = row.labels(max_length)
        columns = {"input_ids": row.ids[:max_length].tolist(), "labels": labels}
        return TrainingRow(columns, len(labels), len(labels) - labels.count(-100))


SFT_ROWS: Final = SupervisedRows()
