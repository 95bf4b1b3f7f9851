"""The legend under the memory bar: no part is left out without being counted."""

from __future__ import annotations

import pytest

from recommender.plan.recommend import recommend
from tests.unit.plan.facts import EXAMPLE, LLAMA_8B, RTX_4090
from tui.widgets.meter import legend


@pytest.mark.parametrize("width", range(24, 140, 3))
def test_the_parts_of_the_legend_add_up_in_every_width(width: int) -> None:
    estimate = recommend(LLAMA_8B, RTX_4090, EXAMPLE).estimate
    line = legend(estimate, width, colour=True, cuda=True).plain
    shown = [float(entry.split()[-1]) for entry in line.split("  ")]
    parts = [round(nbytes / 2**30, 1) for nbytes in estimate.parts.values()]
    assert len(line) <= width
    assert sum(shown) == pytest.approx(sum(parts), abs=0.05 * len(parts))
    if "others" not in line:
        assert len(shown) == sum(part > 0 for part in parts)
    elif width >= 40:
        assert max(parts) in shown
