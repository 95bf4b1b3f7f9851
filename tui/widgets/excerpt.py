"""Chooses the tokens of a long row that are shown: those that tell something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recommender.units import count as figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recommender.data.tokens.tokenise import Piece


def places(pieces: Sequence[Piece], most: int) -> list[tuple[int, int]]:
    """Ranges of tokens in order: all, or both ends, where training begins and where the limit cuts.

    Args:
        pieces: The row's tokens.
        most: How many are shown at most.
    """
    count, each = len(pieces), most // 4
    if count <= most:
        return [(0, count)]
    trained = next((place for place, piece in enumerate(pieces) if piece.trained), 0)
    cut = next((place for place, piece in enumerate(pieces) if piece.cut), count)
    starts = sorted({0, trained - each // 4, cut - each // 2, count - each})
    found: list[tuple[int, int]] = []
    for start in (min(max(0, start), count - each) for start in starts):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], start + each))
        else:
            found.append((start, start + each))
    return found


def left_out(tokens: int) -> str:
    """Text in place of the tokens that are not shown."""
    return f"\n… {figures(tokens)} tokens that are not drawn …\n"
