"""Rows that show how far the work for a step is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recommender.units import count, duration, gib, percent, rate
from tui.terminal.sanitize import clean
from tui.widgets.rows import Row, row

if TYPE_CHECKING:
    from tui.wizard.state import Progress


def progress_rows(progress: Progress, width: int) -> list[Row]:
    """Rows of the progress: a bar with counts and the time that is left."""
    if not progress.total:
        return [row((f"{clean(progress.what)} …", "bright")), row(("esc cancels", "quiet"))]
    share = min(1.0, progress.done / progress.total)
    cells = max(10, min(40, width - 4))
    full = round(share * cells)
    return [
        row((clean(progress.what), "bright")),
        row(("█" * full, "accent"), ("─" * (cells - full), "quiet"), (f"  {percent(share)}", "bright")),
        row((f"{_amount(progress)}{_left(progress)} · esc cancels", "label")),
    ]


def _amount(progress: Progress) -> str:
    if progress.unit == "bytes":
        return f"{gib(progress.done)} of {gib(progress.total)}"
    return f"{count(progress.done)} of about {count(progress.total)}"


def _left(progress: Progress) -> str:
    """Speed of the work and the time that is left."""
    if not progress.seconds_left:
        return ""
    speed = (progress.total - progress.done) / progress.seconds_left
    quick = f"{gib(speed)}/s" if progress.unit == "bytes" else rate(speed, "rows/s")
    return f" · {quick} · about {duration(progress.seconds_left)} left"
