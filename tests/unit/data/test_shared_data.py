"""Data sets that lie beside the repository, where they do (they are no part of it), and the shipped demo data."""

from __future__ import annotations

from pathlib import Path

import pytest

import presets
from presets.errors import InputError
from recommender.config.schema import Data
from recommender.data.load import profile_data
from recommender.model.spec import ModelSpec

SHARED = Path(__file__).parents[4] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED}")


@pytest.mark.slow
@shared
@pytest.mark.parametrize(
    ("name", "shape", "rows", "end"),
    [
        ("alpaca_en_demo.json", "alpaca", 999, True),
        ("alpaca_zh_demo.json", "alpaca", 1000, True),
        ("identity.json", "alpaca", 91, True),
        ("glaive_toolcall_en_demo.json", "sharegpt", 300, True),
        ("c4_demo.jsonl", "text", 300, None),
        ("wiki_demo.txt", "text", 30, None),
    ],
)
def test_each_file_is_recognised_and_trained_on_its_answers(
    chatml: ModelSpec, name: str, shape: str, rows: int, end: bool | None
) -> None:
    dataset = profile_data(Data(train=[str(SHARED / name)]), model=chatml)
    found = dataset.profile
    assert (found.shape, found.rows, found.bad_row_count, found.trains_end_of_turn) == (shape, rows, 0, end)
    assert found.stops == ()
    for i in range(0, rows, max(1, rows // 10)):
        sample = dataset.sample(i, 10**9)
        trained = "".join(piece.text for piece in sample.pieces if piece.trained)
        assert dataset.answer_text(i).strip() in trained
        if end:
            assert trained.endswith("<|im_end|>")
            rest = "".join(piece.text for piece in sample.pieces if not piece.trained)
            assert dataset.question_text(i) in rest


@shared
@pytest.mark.parametrize(
    ("name", "says"), [("dpo_en_demo.json", "preference pairs"), ("dataset_info.json", "index of data sets")]
)
def test_what_cannot_be_trained_on_is_explained(chatml: ModelSpec, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        profile_data(Data(train=[str(SHARED / name)]), model=chatml)


def test_the_shipped_data_has_nothing_to_say(chatml: ModelSpec) -> None:
    path = Path(presets.__file__).parent / "demo" / "lora-house-style.jsonl"
    found = profile_data(Data(train=[str(path)]), model=chatml).profile
    assert found.rows >= 200
    assert (found.stops, found.warnings, found.bad_row_count, found.duplicates) == ((), (), 0, 0)
    assert found.trains_end_of_turn is True
