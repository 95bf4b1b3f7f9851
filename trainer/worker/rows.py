"""The rows as the worker trains on them: the same ids and labels that the Data screen showed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from recommender.config.schema import FinetuneConfig
from recommender.data.dataset import DataSet
from recommender.data.load import profile_data, profile_eval
from recommender.data.split import split
from recommender.model.spec import ModelSpec


@dataclass(frozen=True)
class Rows:
    """Training and held-out rows, tokenised."""

    source: DataSet
    train: Any
    """datasets.Dataset of input_ids and labels."""
    held_out: Any | None
    """The same, or None when nothing is held out."""
    sampled_from: DataSet
    sampled_row: int
    """The row whose question is asked before and after."""
    trained_share: float
    """Of the tokens handed over, those that the loss sees."""

    def longest(self, count: int) -> list[dict[str, Any]]:
        """The longest training rows: the worst batch."""
        lengths = [len(ids) for ids in self.train["input_ids"]]
        order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
        return [self.train[i] for i in order[:count]]


def read_rows(config: FinetuneConfig, spec: ModelSpec) -> Rows:
    """Tokenise, split and hand over.

    Raises:
        InputError: The data cannot be trained on as it is.
    """
    source = profile_data(config.data, model=spec)
    if stops := source.profile.stops_at(config.data.max_length):
        from presets.errors import InputError

        raise InputError(stops[0], remedy="`lora-wizard data` shows the rows as the model sees them.")
    separate = profile_eval(config.data, model=spec)
    if separate is not None:
        train_indices: Sequence[int] = range(len(source))
        held, held_indices = separate, list(range(len(separate)))
    else:
        fraction = config.data.eval_fraction
        train_indices, held_indices = split(source, fraction, config.training.seed)
        held = source
    train, share = _dataset(source, train_indices, config.data.max_length)
    held_out = _dataset(held, held_indices, config.data.max_length)[0] if held_indices else None
    asked = (held, held_indices[0]) if held_indices else (source, train_indices[0])
    return Rows(source, train, held_out, asked[0], asked[1], share)


def _dataset(source: DataSet, indices: Sequence[int], max_length: int) -> tuple[Any, float]:
    rows = source.training_rows(indices, max_length)
    built = Dataset.from_list([dict(row) for row in rows])
    return built, rows.trained / rows.tokens if rows.tokens else 0.0
