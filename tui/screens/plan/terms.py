"""The memory of the worst step line by line: `b` on the Plan screen."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from recommender.units import gib
from tui.screens.popup import TextPopup
from tui.widgets.rows import Row, Tone, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from recommender.plan.types import Plan

NUMBER = 10


def terms_popup(plan: Plan) -> TextPopup:
    """Popup of every term of the formula, and of the estimate that it explains."""
    return TextPopup("memory of the worst step, term by term", terms_rows(plan))


def terms_rows(plan: Plan) -> list[Row]:
    """A line a part with its sum, its terms below it, and what was added or measured beyond the formula."""
    from recommender.memory.terms import breakdown

    terms = breakdown(plan.config, plan.model, plan.device, plan.data)
    rows: list[Row] = []
    for part, group in groupby(terms, key=lambda term: term.part):
        lines = list(group)
        rows.append(_line(sum(line.nbytes for line in lines), part, "bright"))
        if len(lines) > 1 or lines[0].name != part:
            rows += [_line(line.nbytes, f"  {line.name}", "label") for line in lines]
    total = sum(term.nbytes for term in terms)
    rows += [row(""), _line(total, "in all, by the formula", "accent")]
    found, basis = plan.estimate.peak.process_bytes, plan.estimate.basis
    if found != total:
        said = {"trace": "by the trace, which the meter shows", "measured": "as measured on this machine"}
        rows.append(_line(found, said.get(basis, "centred by what was measured on this machine"), "accent"))
    return rows


def _line(nbytes: int, name: str, tone: Tone) -> Row:
    return row((cell(gib(nbytes), NUMBER, "right"), tone), (f"  {name}", tone), indent=NUMBER + 2)
