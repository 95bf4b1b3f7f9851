"""A row as the model will see it: special tokens visible, trained tokens marked, cut ones struck through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from recommender.units import count as figures
from tui.clean import clean_exactly

if TYPE_CHECKING:
    from recommender.data.tokenise import Piece

MOST = 4000
"""Tokens that are drawn of one row; each costs time. Of a longer one only the places are drawn that tell something."""
MARK = "▓"
"""Around what is trained where there is no colour to say it."""


def sample_content(pieces: Iterable[Piece], *, ids: bool = False, colour: bool = True) -> Content:
    """The text with its tokens' roles as styles.

    Args:
        pieces: The tokens in order.
        ids: Whether each token is followed by its id.
        colour: Whether colours are shown; without, trained text is underlined and stands between marks.
    """
    return Content.assemble(*_parts(list(pieces), ids, colour))


def _parts(pieces: list[Piece], ids: bool, colour: bool) -> Iterator[tuple[str, str] | str]:
    drawn = 0
    for start, end in places(pieces):
        if start > drawn:
            yield _left_out(start - drawn), "$quiet"
        yield from _run(pieces[start:end], ids, colour)
        drawn = end


def _run(pieces: list[Piece], ids: bool, colour: bool) -> Iterator[tuple[str, str] | str]:
    before = False
    for piece in pieces:
        trained = piece.trained and not piece.cut
        if trained != before and not colour:
            yield MARK
        before = trained
        yield clean_exactly(piece.text), style_of(piece, colour)
        if ids and piece.token_id is not None:
            yield f"⟨{piece.token_id}⟩", "$quiet"
    if before and not colour:
        yield MARK


def places(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """Which tokens are drawn, as ranges in order: all, or both ends, where training begins and where the limit cuts."""
    count, each = len(pieces), MOST // 4
    if count <= MOST:
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


def _left_out(tokens: int) -> str:
    return f"\n… {figures(tokens)} tokens that are not drawn …\n"


def style_of(piece: Piece, colour: bool) -> str:
    """How one token is drawn."""
    if piece.cut:
        return "strike $quiet"
    tone = "$extra" if piece.special else "$foreground"
    if not piece.trained:
        return tone if piece.special else "$label"
    return f"{tone} on $success 22%" if colour else "underline"
