"""The lines below the settings: the verdict, the bar with its legend, time, and what other meters will show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from recommender.memory.terms import experts_apart
from recommender.units import gib
from tui.screens.plan.text import nothing_helps, room_row, time_row, verdict_parts
from tui.screens.plan.warnings import stop_rows, warning_rows
from tui.widgets.meter import bar, legend
from tui.widgets.rows import Part, row
from tui.widgets.text import STYLES, content

if TYPE_CHECKING:
    from recommender.plan.types import Plan
    from tui.wizard.state import WizardState

WIDE = 110
"""Columns from which the verdict stands beside the bar."""
WARNINGS = 2
"""Number of warnings shown here; one where there is little height."""


def meter_lines(
    plan: Plan, state: WizardState, width: int, *, colour: bool, short: bool, runs: str
) -> tuple[Content, ...]:
    """Lines of the meter; when all do not fit only the verdict and the bar, because the remedies take the rest.

    Args:
        plan: Whose needs.
        state: For the price of an hour, the memory that is free now, and the warnings that are muted.
        width: Cells.
        colour: Whether colours tell the parts apart.
        short: Whether there is little height: what is least needed is left out.
        runs: Where the run folder will be.
    """
    estimate = plan.estimate
    verdict = _painted(verdict_parts(estimate))
    if width >= WIDE:
        cells = max(30, min(width - verdict.cell_length - 3, width // 2))
        lines = [Content.assemble(bar(estimate, cells, colour=colour), "   ", verdict)]
    else:
        lines = [verdict, bar(estimate, width, colour=colour)]
    if apart := experts_apart(plan.config, plan.model, plan.device, plan.data):
        lines.append(content(row((apart, "label"))))
    lines += [content(line) for line in stop_rows(plan)]
    if estimate.fits == "no":
        return (*lines, *(content(line) for line in nothing_helps(plan)))
    lines.append(legend(estimate, width, colour=colour, cuda=plan.device.kind == "cuda"))
    lines.append(content(time_row(plan, state.price, width)))
    if not short:
        lines.append(content(room_row(plan, runs, width)))
    lines += [content(line) for line in warning_rows(plan, width, 1 if short else WARNINGS, state.muted)]
    if state.memory_moved and state.free_now is not None:
        lines.append(content(row(("! ", "caution"), f"{gib(state.free_now)} are free now: f5 plans with that")))
    return tuple(lines)


def _painted(parts: Sequence[Part]) -> Content:
    """The verdict with its word on a coloured ground."""
    grounds = {"good": "$success", "caution": "$warning", "bad": "$error"}
    drawn: list[tuple[str, str]] = []
    for text, tone in parts:
        word = text.strip() in {"FITS", "TIGHT", "NO"}
        drawn.append((text, f"bold $on-accent on {grounds[tone]}" if word else STYLES[tone]))
    return Content.assemble(*drawn)
