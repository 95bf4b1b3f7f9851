"""Tokenised rows in memory: training and held-out ones, their digest, and the longest of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from recommender.data.dataset import DataSet
from recommender.data.packing import Strategy
from trainer.worker.loop.same_rows import Contents
from trainer.worker.output.sample import Questions


@dataclass(frozen=True)
class Rows:
    """Training and held-out rows, tokenised."""

    source: DataSet | None
    """Where they come from; None in a rank that has them from the first one."""
    train: Any
    """datasets.Dataset of the stage's columns, each a list of 32-bit integers."""
    held_out: Any | None
    """The same, or None when nothing is held out."""
    questions: Questions | None
    """Prompts that are answered before training, at evaluations and after; None in a rank that asks none."""
    trained_share: float
    """Share of the tokens of the training data, held-out rows included, that the loss sees."""
    packing_strategy: Strategy
    """TRL's strategy, where rows are packed."""
    contents: Contents
    """Digests of the rows that are read and held out: a resumed run goes on with the same."""

    bad_rows: int = 0
    """Rows that could not be read."""

    def digest(self) -> str:
        """Return the SHA-256 of the training rows as the model sees them.

        Every row's length (of its first column), then each column's values: for supervised tuning tokens, then labels.
        It names the data wherever it was read from, a hub's data set or a mixture too.
        """
        sha, columns = hashlib.sha256(), [self.train.data.column(name) for name in self.train.column_names]
        for chunk in columns[0].chunks:
            sha.update(pc.list_value_length(chunk).to_numpy(zero_copy_only=False).astype("<i4").tobytes())
        for column in columns:
            for chunk in column.chunks:
                sha.update(chunk.flatten().to_numpy(zero_copy_only=False).astype("<i4").tobytes())
        return sha.hexdigest()


def row_lengths(rows: Any, columns: Sequence[str]) -> Any:
    """Return the tokens of each row, an integer array of shape (rows,).

    Args:
        rows: A datasets.Dataset.
        columns: Those whose values are tokens.
    """
    return sum(pc.list_value_length(rows.data.column(name)).to_numpy() for name in columns)


def by_length(rows: Any, columns: Sequence[str]) -> Any:
    """Return the rows' indices, the shortest row first; rows of one length stay in order."""
    return row_lengths(rows, columns).argsort(kind="stable")


def longest(rows: Any, columns: Sequence[str], count: int) -> list[dict[str, Any]]:
    """Return the longest rows of a data set, longest first: the batch that needs most memory."""
    return [rows[int(index)] for index in by_length(rows, columns)[::-1][:count]]
