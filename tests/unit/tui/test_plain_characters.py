"""What is drawn where a terminal has ASCII only."""

from __future__ import annotations

import pytest

from tui.plain_characters import to_ascii


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        # Cut text must not look like the end of a sentence or of a number.
        ("1 × 4…", "1 x 4~"),
        ("9.5 GiB more m…", "9.5 GiB more m~"),
        ("reading the rows …", "reading the rows.."),
        ("● recommended  ✎ yours", "* recommended  / yours"),
        ("■ weights 5.3 · ✓", "# weights 5.3 . +"),
    ],
)
def test_it_is_as_wide_and_says_the_same(text: str, drawn: str) -> None:
    assert to_ascii(text) == drawn
    assert len(drawn) == len(text)
