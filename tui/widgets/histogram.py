"""Token lengths as blocks, three lines high, with a mark where the length limit cuts."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from recommender.units import count
from tui.widgets.rows import Part, Row, Tone

if TYPE_CHECKING:
    from recommender.data.profile.intervals import Interval


class Lengths(Protocol):
    """Token lengths of rows, known or estimated."""

    def rows_cut(self, max_length: int, /) -> int:
        """Rows longer than max_length."""

    def quantile(self, q: float, /) -> int | Interval:
        """Length that a share q of the rows does not exceed."""


EIGHTHS = " ▁▂▃▄▅▆▇█"
HEIGHT = 3
SPARSE = "·"
"""A bin with rows in it, but too few for a block."""


def bins(profile: Lengths, upper: int, width: int) -> list[int]:
    """Rows in each of `width` equal ranges of length up to `upper`; longer rows are in none."""
    edges = [round(upper * column / width) for column in range(width + 1)]
    above = [profile.rows_cut(edge) for edge in edges]
    return [before - after for before, after in pairwise(above)]


def upper_end(profile: Lengths, max_length: int) -> int:
    """Upper end of the axis: all rows but the longest hundredth, and the limit when it is among them."""
    p99 = profile.quantile(0.99)
    shown = max(16, round(1.15 * (p99 if isinstance(p99, int) else p99.value)))
    return max(shown, round(1.15 * max_length)) if max_length <= 2 * shown else shown


def histogram(profile: Lengths, max_length: int, width: int) -> list[Row]:
    """Bars from the bottom up, the limit, and an axis.

    Args:
        profile: Whose lengths.
        max_length: The limit, tokens.
        width: Cells.

    Returns:
        `HEIGHT` lines of bars and one of axis.
    """
    width = max(10, width)
    upper = upper_end(profile, max_length)
    counts = bins(profile, upper, width)
    highest = max(counts, default=0) or 1
    levels = [number * HEIGHT * 8 / highest for number in counts]
    limit = min(width - 1, max_length * width // upper) if max_length <= upper else None
    rows = [_line(levels, counts, level, limit) for level in range(HEIGHT - 1, -1, -1)]
    return [*rows, _axis(upper, max_length, limit, width)]


def _line(levels: list[float], counts: list[int], level: int, limit: int | None) -> Row:
    parts: list[Part] = []
    for column, height in enumerate(levels):
        beyond = limit is not None and column > limit
        tone: Tone = "quiet" if beyond else "accent"
        if column == limit:
            parts.append(("┊", "caution"))
            continue
        filled = round(height) - 8 * level
        if filled < 1:
            sparse = level == 0 and counts[column] > 0
            parts.append((SPARSE if sparse else " ", tone))
        else:
            parts.append((EIGHTHS[min(8, filled)], tone))
    return Row(_joined(parts))


def _joined(parts: list[Part]) -> tuple[Part, ...]:
    joined: list[Part] = []
    for text, tone in parts:
        if joined and joined[-1][1] == tone:
            joined[-1] = (joined[-1][0] + text, tone)
        else:
            joined.append((text, tone))
    return tuple(joined)


def _axis(upper: int, max_length: int, limit: int | None, width: int) -> Row:
    """'0', the limit under its mark or at the right end, and where the axis ends."""
    label = f"max_length {count(max_length)}"
    if limit is None:
        text = f"0{label + ' →':>{width - 1}}"
        return Row(((text[: -len(label) - 2], "quiet"), (text[-len(label) - 2 :], "caution")))
    end = count(upper)
    start = max(2, min(limit - len(label) // 2, width - len(label)))
    tail = width - start - len(label)
    right = f"{end:>{tail}}" if tail > len(end) else " " * tail
    return Row((("0".ljust(start), "quiet"), (label, "caution"), (right, "quiet")))
