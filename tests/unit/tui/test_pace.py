"""The time that is left follows from what was done since the work began."""

from __future__ import annotations

import pytest

from tui.wizard.state import Progress
from tui.wizard.steps.work import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rows() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.timed(Progress("reading", 0, 1000)).seconds_left is None
    clock.now += 2.0
    assert pace.timed(Progress("reading", 100, 1000)).seconds_left == pytest.approx(18.0)
    assert pace.timed(Progress("reading", 100, 0)).seconds_left is None
    assert pace.timed(Progress("reading", 1000, 1000)).seconds_left is None


def test_what_a_download_took_says_nothing_of_rows() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now += 1.0
    assert pace.timed(Progress("fetching a", 50, 100, unit="bytes")).seconds_left is None
    clock.now += 1.0
    assert pace.timed(Progress("fetching a", 75, 100, unit="bytes")).seconds_left == pytest.approx(1.0)
    clock.now += 100.0
    assert pace.timed(Progress("reading", 10, 30)).seconds_left is None
    clock.now += 1.0
    assert pace.timed(Progress("reading", 20, 30)).seconds_left == pytest.approx(1.0)
