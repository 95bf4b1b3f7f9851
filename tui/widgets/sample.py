"""A row as the model will see it: special tokens visible, trained tokens marked, cut ones struck through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from textual.content import Content

from tui.terminal.sanitize import clean_exactly
from tui.widgets.excerpt import left_out, places

if TYPE_CHECKING:
    from recommender.data.tokens.tokenise import Piece

MOST = 4000
"""Tokens that are drawn of one row; each costs time. Of a longer one only the places are drawn that tell something."""
MARK = "▓"
"""Mark around trained tokens where there is no colour to say it."""


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
    for start, end in places(pieces, MOST):
        if start > drawn:
            yield left_out(start - drawn), "$quiet"
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


def style_of(piece: Piece, colour: bool) -> str:
    """Style of one token."""
    if piece.cut:
        return "strike $quiet"
    tone = "$extra" if piece.special else "$foreground"
    if not piece.trained:
        return tone if piece.special else "$label"
    return f"{tone} on $success 22%" if colour else "underline"
