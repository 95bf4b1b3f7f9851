"""Sizes at which a class is traced: in general position, so that no two quantities look alike.

At least two rows, lengths that are no multiple of a chunk, ranks that are no scaling's denominator. One row, lengths
below a window and above it, and a loop over chunks of a row are regimes of their own: the operations differ.
"""

from __future__ import annotations

from typing import Any

from trainer.learn.record import Point

PLAIN = ("1", "T", "r", "Tr", "TL", "B", "L", "LL", "Br")
CHUNKS = ("Bc64", "Bc128", "Bc256", "Bcc64", "Bcc256")
ONE_ROW = ("1", "T", "r", "Tr", "TL", "Bc64", "Bc128", "Bc256", "Bcc64", "Bcc256")
"""The same where rows are one: others cannot be told apart, nor need they be."""
SHAPES = ((3, 907, 13), (2, 1511, 29), (7, 613, 7))
"""Rows, tokens beyond the last bound, and rank: on both sides of a tile of the loss."""
ONE_ROW_MORE = 4000
"""Tokens more of the second shape where rows are one: beyond a tile."""
LOOPED = (
    (3, 131, 13),
    (23, 203, 29),
    (5, 173, 7),
    (4, 89, 21),
    (67, 67, 11),
    (3, 250, 17),
    (2, 150, 10),
    (6, 110, 40),
    (5, 230, 33),
    (3, 190, 19),
)
"""Points where a loop over a row makes the number of operations depend on its length: short, and many."""
CHECKED = (4, 1117, 19)
"""A point that nothing is fitted to."""
LONGEST_BOUND = 40_000
"""Largest window that is told from none."""
SHORT = 48
"""Lengths below a bound of fewer tokens are not told from those above."""
TILE = 4096


def basis_of(loss: str, *, one_row: bool, full: bool, chunks: int) -> tuple[str, ...]:
    """The quantities that sizes may depend on.

    Args:
        loss: Which path it takes, of `recommender.memory.stacks`.
        one_row: Whether all points have one row.
        full: Whether all weights are trained: there is no rank.
        chunks: Of Liger's loss: the vocabulary over the hidden size.
    """
    names = list(ONE_ROW if one_row else (*PLAIN, *CHUNKS))
    if loss == "fused":
        names += ["M"]
    if loss == "liger":
        names += [f"C{chunks}"]
    return tuple(name for name in names if not (full and "r" in name))


def bounds_of(config: Any) -> tuple[int, ...]:
    """Lengths at which a class may begin to do something else: its windows and chunks.

    Args:
        config: Transformers' configuration of the text part.
    """
    found = {
        value
        for name, value in vars(config).items()
        if isinstance(value, int)
        and not isinstance(value, bool)
        and ("window" in name or "chunk_size" in name)
        and SHORT <= value <= LONGEST_BOUND
    }
    return tuple(sorted(found))


def points_between(low: int, high: int | None, *, one_row: bool) -> tuple[Point, ...]:
    """Points of lengths above `low` and up to `high`, where there is such a bound."""
    if high is None:
        far = (0, ONE_ROW_MORE if one_row else 0, 0)
        shapes = zip(SHAPES, far, strict=True)
        return tuple(Point(1 if one_row else rows, low + extra + more, rank) for (rows, extra, rank), more in shapes)
    shares = (0.83, 0.31, 0.57)
    far = (high, max(low + 200, TILE // 2 - 150), high)
    lengths = (
        min(low + max(3, round(share * (high - low))), most) // 2 * 2 + 1
        for share, most in zip(shares, far, strict=True)
    )
    return tuple(
        Point(1 if one_row else rows, min(length, high), rank)
        for (rows, _, rank), length in zip(SHAPES, lengths, strict=True)
    )


def looped_points(*, one_row: bool) -> tuple[Point, ...]:
    """Points of a class that loops over chunks of a row."""
    shapes = LOOPED[:8] if one_row else LOOPED
    return tuple(Point(1 if one_row else rows, length, rank) for rows, length, rank in shapes)
