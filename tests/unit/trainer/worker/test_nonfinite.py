"""Steps without a finite gradient: skipped, left to the scaler, and not for ever."""

from __future__ import annotations

from math import inf, nan

import pytest

from trainer.worker.loop.nonfinite import MOST_SCALED, MOST_SKIPPED, NonFinite


@pytest.mark.parametrize(("scaled", "passed", "most"), [(False, "skip", MOST_SKIPPED), (True, "leave", MOST_SCALED)])
def test_a_few_in_a_row_are_passed_over_and_then_the_run_goes_back(scaled: bool, passed: str, most: int) -> None:
    steps = NonFinite(scaled=scaled, goes_back=False)
    assert [steps.judge(nan) for _ in range(most)] == [passed] * most
    assert steps.judge(inf) == "back"


@pytest.mark.parametrize("scaled", [False, True])
def test_a_finite_step_begins_the_count_anew(scaled: bool) -> None:
    steps = NonFinite(scaled=scaled, goes_back=False)
    for _ in range(3):
        for _ in range(MOST_SKIPPED):
            assert steps.judge(inf) != "back"
        assert steps.judge(1.0) == "learn"


def test_a_run_that_shall_go_back_does_at_once_but_not_for_the_scale() -> None:
    assert NonFinite(scaled=False, goes_back=True).judge(nan) == "back"
    assert NonFinite(scaled=True, goes_back=True).judge(inf) == "leave"
