"""Every kind of row that benchmarks/shapes.py knows, on each run of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.row_shapes.case import Case
from benchmarks.shapes import CASES, wrong


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 120


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_made_of_a_kind_of_row_is_what_is_right(case: Case, tmp_path: Path) -> None:
    assert wrong(case, tmp_path) == ""
