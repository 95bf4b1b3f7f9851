"""What `merge` says of how far the merged model is from base and adapter."""

from __future__ import annotations

from typing import Any

import pytest

from tui.commands.results import how_far


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"off": 0.0123, "rounding": 0.001, "moved": 0.1}, "1.23% of what the adapter changes"),
        (
            {"off": None, "rounding": 0.0021, "moved": 0.0004},
            "0.21% of their size by rounding to 16 bits, which hides the adapter: it changes them by 0.04%",
        ),
        (
            {"off": None, "rounding": 0.0021, "moved": 0.0},
            "0.21% of their size by rounding to 16 bits (the adapter changes none of them: it is as it was before "
            "training)",
        ),
    ],
)
def test_how_far_a_merged_model_is_off(found: dict[str, Any], said: str) -> None:
    assert how_far(found) == said
