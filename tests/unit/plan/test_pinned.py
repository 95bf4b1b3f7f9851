"""No plan moves unless it was meant to: 60 drawn requests against the plans that were written down."""

from __future__ import annotations

import json

from tests.unit.plan.pinned import DRAWN, PLACE, pins


def test_plans_are_those_that_were_written_down() -> None:
    known, now = json.loads(PLACE.read_text(encoding="utf-8")), json.loads(json.dumps(pins()))
    moved = {
        f"{case}: {part}": (known[case].get(part), value)
        for case, pin in now.items()
        for part, value in pin.items()
        if known.get(case, {}).get(part) != value
    }
    assert len(known) == DRAWN
    assert known.keys() == now.keys()
    assert not moved, (
        f"{len(moved)} parts of plans moved, {list(moved.items())[:2]}. Where that is meant, ask benchmarks/ whether "
        "the plans are better, then write them anew: python -m tests.unit.plan.pinned"
    )
