"""Of a long row the places are drawn that tell something, and what is left out is counted."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from recommender.data.tokens.tokenise import Piece
from tui.widgets.excerpt import places
from tui.widgets.sample import MOST, sample_content


def row(tokens: int, trained: int, cut: int) -> list[Piece]:
    """A row of numbered words, trained from one place on and cut at another."""
    return [Piece(f"{place} ", place, place >= trained, False, place >= cut) for place in range(tokens)]


@pytest.mark.parametrize("tokens", [1, MOST])
def test_a_row_that_is_not_long_is_drawn_whole(tokens: int) -> None:
    assert places(row(tokens, 0, tokens), MOST) == [(0, tokens)]
    assert sample_content(row(tokens, 0, tokens)).plain == "".join(f"{place} " for place in range(tokens))


@pytest.mark.parametrize(
    ("trained", "cut"),
    [(20_000, 30_000), (0, 50_000), (49_999, 50_000), (500, 700), (50_000, 10)],
    ids=["far apart", "trained whole", "the last token", "near the start", "nothing is trained"],
)
def test_a_long_row_shows_its_ends_where_training_begins_and_where_it_is_cut(trained: int, cut: int) -> None:
    tokens = 50_000
    shown = places(row(tokens, trained, cut), MOST)
    drawn = {place for start, end in shown for place in range(start, end)}
    assert {0, tokens - 1} <= drawn
    assert not {trained - 1, trained, cut - 1, cut} & set(range(tokens)) - drawn
    assert len(drawn) <= MOST
    assert all(before[1] < after[0] for before, after in pairwise(shown))
    text = sample_content(row(tokens, trained, cut)).plain
    told = sum(int(found.replace(" ", "")) for found in re.findall(r"… ([\d ]+) tokens that are not drawn", text))
    assert told == tokens - len(drawn)


def test_marks_stand_around_each_trained_place_where_there_is_no_colour() -> None:
    text = sample_content(row(20_000, 9_000, 20_000), colour=False).plain
    assert text.count("▓") == 4
