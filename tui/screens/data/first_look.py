"""Texts of a large data set before all of it has been read: estimates, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recommender.units import count, counted, percent
from tui.terminal.sanitize import clean
from tui.widgets.histogram import histogram
from tui.widgets.rows import Row, row

if TYPE_CHECKING:
    from recommender.data.profile.first_look import FirstLook
    from recommender.data.profile.intervals import Interval


def first_rows(look: FirstLook, max_length: int, width: int) -> list[Row]:
    """Shape, rows, lengths, cuts and trained share, as far as some rows tell."""
    profile = look.profile
    columns = ", ".join(clean(column) for column in profile.columns.values())
    return [
        row((_source(look), "caution"), indent=2),
        row(
            (clean(profile.shape), "bright"),
            (f" ({columns})   " if columns else "   ", "label"),
            (f"about {_rounded(look.rows.value)}", "bright"),
            (f" rows{_between(look.rows)}", "label"),
            indent=2,
        ),
        row(
            ("tokens  ", "label"),
            (" · ".join(f"{name} {_figure(look.quantile(q))}" for name, q in QUANTILES), "bright"),
            indent=8,
        ),
        *histogram(look, max_length, width),
        row(
            (f"cut at {count(max_length)}: ", "label"),
            (_share(look.rows_cut_share(max_length)), "bright"),
            (" of rows", "label"),
            indent=2,
        ),
        row(
            ("trained on: ", "label"),
            (_share(look.trained_share(max_length)), "bright"),
            (" of tokens", "label"),
            indent=2,
        ),
        row((f"95 % intervals in brackets · template {clean(profile.template)}", "quiet"), indent=2),
        *_found(look),
    ]


def _source(look: FirstLook) -> str:
    """Basis of the figures."""
    from recommender.data.profile.refine import Refined

    if not isinstance(look, Refined):
        whence = "drawn from everywhere" if look.everywhere else "the first ones: true if the rest is alike"
        return f"estimate from {counted(look.drawn, 'row')}, {whence}"
    rest = f"the rest from {count(len(look.ahead))} drawn ones" if look.everywhere else "true if the rest is alike"
    return f"{counted(look.so_far.rows, 'row')} read exactly, {rest}"


def _found(look: FirstLook) -> list[Row]:
    """Rows of the faults in the rows that have been read."""
    from recommender.data.profile.refine import Refined

    if not isinstance(look, Refined):
        return []
    found = ((look.so_far.bad, "bad row"), (look.so_far.duplicates, "exact duplicate"))
    said = ", ".join(counted(number, what) for number, what in found if number)
    return [row(("! ", "caution"), f"so far {said}", indent=2)] if said else []


QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


def _figure(interval: Interval) -> str:
    high = f"–{count(interval.high)}" if interval.high is not None else " or more"
    return f"{count(interval.value)} ({count(interval.low)}{high})"


def _share(interval: Interval) -> str:
    high = percent(interval.high if interval.high is not None else 1.0)
    return f"{percent(interval.value)} ({percent(interval.low).removesuffix(' %')}–{high})"


def _between(interval: Interval) -> str:
    if interval.high is None:
        return ""
    return f" ({_rounded(interval.low)}–{_rounded(interval.high)})"


def _rounded(number: float) -> str:
    """Three significant digits: more would be made up."""
    whole = round(number)
    digits = max(0, len(str(whole)) - 3)
    return count(round(whole, -digits))
