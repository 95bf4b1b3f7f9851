from __future__ import annotations

import json

from recommender.data.profile.document import document
from tests.unit.data.conftest import Profile

KEYS = {"shape", "rows", "bad_row_count", "bad_rows", "tokens", "trained_share", "max_length", "rows_cut",
        "tokens_cut_share", "trained_cut_share", "trains_end_of_turn", "duplicates", "template", "tokenizer",
        "stops", "warnings"}  # fmt: skip


def test_the_document_is_json_with_the_keys_of_the_contract(profile: Profile) -> None:
    dataset = profile([{"question": "Q", "answer": "A"}, {"question": "Q"}])
    found = json.loads(json.dumps(document(dataset.profile, 1024)))
    assert found.keys() >= KEYS
    assert found["bad_rows"][0]["line"] == 2
    assert found["bad_rows"][0]["reason"] == "lacks the column 'answer'"
    assert found["shape_reason"].startswith("columns question, answer")


def test_the_document_judges_the_length_it_is_asked_about(profile: Profile) -> None:
    dataset = profile([{"question": "Q " * 50, "answer": "A"}] * 20)
    assert document(dataset.profile, 1000)["stops"] == []
    assert "cut before its answer" in document(dataset.profile, 30)["stops"][0]


def test_the_trained_share_is_of_what_the_limit_leaves(profile: Profile) -> None:
    """As the screen and the event log of a run have it."""
    found = profile([{"question": "Q " * 50, "answer": "A " * 50}] * 20).profile
    assert document(found, 1000)["trained_share"] == found.trained_share
    assert document(found, 120)["trained_share"] == found.trained_at(120) / found.tokens_at(120) < found.trained_share
    assert document(found, 120, split=True)["trained_share"] == found.trained_share
    assert document(found, 0)["trained_share"] == 0.0
