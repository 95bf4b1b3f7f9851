"""The reference of benchmarks: its work never changes, and a limit is a multiple of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.pace import Pace, reference_work


def test_the_reference_work_is_what_every_ratio_was_measured_with() -> None:
    assert reference_work() == pytest.approx(34926901.37762962, rel=1e-12)


def ticking(*seconds: float) -> Iterator[float]:
    now = 0.0
    for each in seconds:
        yield now
        now += each
        yield now


def test_a_time_is_held_against_the_median_of_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    ticks = ticking(0.004, 0.005, 0.100)
    pace = Pace(clock=lambda: next(ticks))
    pace.sample(3)
    assert pace.seconds == pytest.approx(0.005)
    assert pace.judge("a call", 0.010, 2.1)
    assert not pace.judge("another", 0.011, 2.1)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "a call: 10 ms, reference 5 ms, ratio 2 (limit 2.1)"
    assert told[1].endswith("ratio 2.2 (limit 2.1, missed)")
