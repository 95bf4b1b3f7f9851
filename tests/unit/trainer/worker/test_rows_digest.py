"""The hash of the rows that were trained on: by what is in them, and by nothing else."""

import pytest

from tests.fixtures.child import run_python

pytestmark = pytest.mark.torch

DIGESTS = """
import hashlib, json, struct
import pyarrow as pa
from datasets import Dataset
from datasets.table import InMemoryTable
from trainer.worker.setup.rows import Rows
from recommender.stages.sft import SFT
from trainer.worker.stages.rows import schema_of

ROW = schema_of(SFT)

ROWS = [([1, 2, 3], [-100, 2, 3]), ([4], [4]), ([5, 6], [-100, 6])]


def digest(rows, size):
    parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    batches = [
        pa.RecordBatch.from_pydict({"input_ids": [ids for ids, _ in part], "labels": [told for _, told in part]}, ROW)
        for part in parts
    ]
    train = Dataset(InMemoryTable(pa.Table.from_batches(batches, schema=ROW)))
    return Rows(None, train, None, None, 1.0, "bfd", None).digest()


numbers = [3, 1, 2, 1, 2, 3, 4, 5, 6, -100, 2, 3, 4, -100, 6]
print(json.dumps({
    "by hand": hashlib.sha256(struct.pack(f"<{len(numbers)}i", *numbers)).hexdigest(),
    "whole": digest(ROWS, 3),
    "in pieces": digest(ROWS, 1),
    "another label": digest([*ROWS[:2], ([5, 6], [5, 6])], 3),
    "another row": digest([([1, 2], [-100, 2]), ([3, 4], [3, 4]), ROWS[2]], 3),
}))
"""


def test_it_is_the_same_however_the_rows_are_stored_and_another_for_other_rows() -> None:
    found = run_python(DIGESTS)
    assert found["whole"] == found["in pieces"] == found["by hand"]
    assert len(set(found.values())) == 3
