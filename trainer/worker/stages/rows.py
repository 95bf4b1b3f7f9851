"""The rows of a run in its stage's columns: the same tokens that the Data screen showed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import pyarrow as pa
from datasets import Dataset
from datasets.table import InMemoryTable

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.data.dataset import DataSet, TrainingRows
from recommender.data.load import profile_data, profile_eval
from recommender.data.packing import packs, strategy_for
from recommender.data.split import split
from recommender.model.spec import ModelSpec
from recommender.stages import Stage, stage_of
from trainer.worker.loop.same_rows import Contents
from trainer.worker.output.sample import Questions
from trainer.worker.setup.rows import Rows, by_length

BATCH: Final = 1000
"""Rows that are Python lists at a time; as Arrow a token takes 8 bytes with its label, as a list 100."""


def schema_of(stage: Stage) -> pa.Schema:
    """Return the columns of a stage's rows."""
    return pa.schema({name: pa.list_(pa.int32()) for name in stage.columns})


def read_rows(config: FinetuneConfig, spec: ModelSpec) -> Rows:
    """Tokenise and split the rows.

    Raises:
        InputError: The data cannot be trained on as it is.
    """
    stage = stage_of(config)
    source = profile_data(config.data, model=spec, stage=stage)
    if stops := source.profile.stops_at(config.data.max_length):
        raise InputError(stops[0].text, remedy="`lora-wizard data` shows the rows as the model sees them.")
    separate = profile_eval(config.data, model=spec, stage=stage)
    if separate is not None:
        train_indices: Sequence[int] = range(len(source))
        held, held_indices = separate, list(range(len(separate)))
    else:
        train_indices, held_indices = split(source.digests, config.data.eval_fraction, config.training.seed)
        held = source
    contents = Contents.of(source.digests, (held.digests[row] for row in held_indices))
    strategy, bad = strategy_for(source.profile), source.profile.bad_row_count
    # Text that is packed is split where it is too long, by TRL: nothing of it is cut off here.
    limit = sys.maxsize if packs(config) and strategy == "bfd_split" else config.data.max_length
    train, counts = _dataset(stage, source, train_indices, limit)
    if not held_indices:
        asked = Questions(source, [train_indices[row] for row in _typical(stage, train)[:1]])
        return Rows(source, train, None, asked, _share(counts), strategy, contents, bad)
    held_out, held_counts = _dataset(stage, held, held_indices, config.data.max_length)
    asked = Questions(held, [held_indices[row] for row in _typical(stage, held_out)])
    share = _share(counts, *([held_counts] if held is source else []))
    return Rows(source, train, held_out, asked, share, strategy, contents, bad)


def _typical(stage: Stage, rows: Any) -> list[int]:
    """The rows at the middle and the quarters by length, the middle first: neither a greeting nor a book is asked."""
    order = by_length(rows, stage.token_columns)
    return list(dict.fromkeys(int(order[int(len(rows) * share)]) for share in (0.5, 0.25, 0.75)))


def _share(*counts: TrainingRows) -> float:
    """Trained tokens among all that were read, as the Data screen says it; rows without any are read too."""
    read = sum(rows.read for rows in counts)
    return sum(rows.trained for rows in counts) / read if read else 0.0


def _dataset(stage: Stage, source: DataSet, indices: Sequence[int], max_length: int) -> tuple[Any, TrainingRows]:
    """Rows for the trainer, and the counts of reading them."""
    rows, schema = source.training_rows(indices, max_length), schema_of(stage)
    table = pa.Table.from_batches(list(_batches(iter(rows), schema)), schema=schema)
    return Dataset(InMemoryTable(table)), rows


def _batches(rows: Iterator[Mapping[str, object]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while some := list(islice(rows, BATCH)):
        columns = {name: [row[name] for row in some] for name in schema.names}
        yield pa.RecordBatch.from_pydict(columns, schema=schema)
