"""Cards and public reports that the benchmarks name, read by the product as it is today."""

from __future__ import annotations

import pytest

from benchmarks.pairs import CARDS
from benchmarks.reference_rows import HERE
from benchmarks.reports import answers, load_reports
from benchmarks.search_speed import CASES
from recommender.machine.devices import device_from_catalogue


@pytest.mark.parametrize("name", [*CARDS, *(card for card, _ in CASES)])
def test_every_card_of_a_benchmark_is_one_card(name: str) -> None:
    """None is a name that cards of different memory share."""
    assert device_from_catalogue(name).total_bytes > 0


def test_full_fine_tunes_of_one_length_are_priced_within_3_percent() -> None:
    """Rows that are cut to one length, of a model in bf16 with AdamW: the driver's peak, nothing fitted to it."""
    rows = [row for row in load_reports(HERE / "reports_more.csv") if row["method"] == "full" and row["facts"] == "B"]
    errors = [next(answers(row)).error for row in rows if row["model"] == "qwen-7b"]
    assert len(errors) == 3
    assert all(error is not None and abs(error) < 0.03 for error in errors)
