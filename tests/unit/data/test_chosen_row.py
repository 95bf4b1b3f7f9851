"""Which row `lora-wizard data --row` shows."""

from __future__ import annotations

import pytest
from rich.console import Console

from presets.errors import InputError
from tests.unit.data.conftest import Profile
from tui.commands.show_data import chosen_row, show_data

ROWS = [
    {"instruction": "Q", "output": "A"},
    {"instruction": "Q", "output": "long " * 30},
    {"instruction": "Q\x07", "output": "B"},
]


def test_rows_are_chosen_by_number_and_by_what_they_are(profile: Profile) -> None:
    dataset = profile(ROWS)
    assert [chosen_row(dataset, which, 1000) for which in ("1", "3", "longest", "finding")] == [0, 2, 1, 2]
    assert chosen_row(dataset, "random", 1000) in range(3)


@pytest.mark.parametrize("which", ["0", "4", "-1", "last", ""])
def test_a_row_that_is_not_there_is_refused(profile: Profile, which: str) -> None:
    with pytest.raises(InputError, match="no row"):
        chosen_row(profile(ROWS), which, 1000)


def test_a_row_is_shown_with_its_findings_and_ids(profile: Profile) -> None:
    dataset = profile(ROWS)
    console = Console(record=True, width=500, file=None)
    with console.capture() as shown:
        show_data(dataset, 1000, 2, console, ids=True)
    assert "this row: it holds control characters" in shown.get()
    assert " ".join(map(str, dataset.tokenised(2).ids)) in shown.get()
