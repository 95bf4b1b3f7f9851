"""No estimate moves unless it was meant to: 240 drawn configurations against the figures that were written down."""

from __future__ import annotations

import json

from tests.unit.memory.pinned import DRAWN, PLACE, pins


def test_estimates_are_those_that_were_written_down() -> None:
    known, now = json.loads(PLACE.read_text(encoding="utf-8")), pins()
    moved = {
        f"{case}: {part}": (known[case][part], figure)
        for case, pin in now.items()
        for part, figure in pin.items()
        if known.get(case, {}).get(part) != figure
    }
    assert len(known) == DRAWN
    assert known.keys() == now.keys()
    assert not moved, (
        f"{len(moved)} figures moved, {list(moved.items())[:3]}. Where that is meant, hold the formula against "
        "benchmarks/, then write them anew: python -m tests.unit.memory.pinned"
    )
