"""Warnings of a plan: the gravest under the meter, all of them in a window, where one can be muted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from recommender.plan.checks.warnings import NOTHING_FITS
from recommender.units import counted
from recommender.warning import worst_first
from tui.screens.plan.text import nothing_helps
from tui.screens.popup import Popup
from tui.terminal.sanitize import clean
from tui.widgets.key_bar import KeyBar
from tui.widgets.pick_list import MARGIN, Pick, PickList
from tui.widgets.rows import Row, row
from tui.widgets.severity import MARKS, mark
from tui.widgets.text import cut

if TYPE_CHECKING:
    from recommender.plan.types import Plan
    from recommender.warning import CodedWarning, Severity

SAID: Final[dict[Severity, tuple[str, str]]] = {
    "stop": ("stop", "nothing should be started so"),
    "warning": ("warning", "to be known before a start"),
    "note": ("note", "how a figure came to be"),
}
"""Name of a severity, and its meaning, for the headings."""


def all_warnings(plan: Plan) -> tuple[CodedWarning, ...]:
    """Return the warnings of a plan and the notes of its estimate, the gravest first."""
    return worst_first((*plan.warnings, *plan.estimate.notes))


def warnings_beside(plan: Plan) -> list[CodedWarning]:
    """Return the warnings that the lines of the meter do not show already, the gravest first."""
    shown = {"does_not_fit", "tight"} | ({NOTHING_FITS} if nothing_helps(plan) else set())
    stops = _stops(plan)
    return [one for one in worst_first(plan.warnings) if one.code not in shown and one not in stops]


def _stops(plan: Plan) -> tuple[CodedWarning, ...]:
    return () if plan.data is None else plan.data.stops_at(plan.config.data.max_length)


def stop_rows(plan: Plan) -> list[Row]:
    """Rows of the reasons that nothing can be started on the data as it is, a line each."""
    return [row(mark(stop), ("3 Data: ", "bad"), (clean(stop.text), "plain")) for stop in _stops(plan)]


def is_muted(warning: CodedWarning, muted: Collection[str]) -> bool:
    """Whether a warning is muted: its kind is, and it is no stop."""
    return warning.severity != "stop" and warning.code in muted


def warning_rows(plan: Plan, width: int, most: int, muted: Collection[str] = ()) -> list[Row]:
    """The gravest warnings, a line each; the last says how many more and muted ones there are, and what shows them.

    Args:
        plan: Whose.
        width: Cells.
        most: Lines.
        muted: Codes of warnings that are only counted.
    """
    beside = warnings_beside(plan)
    told = [one for one in beside if not is_muted(one, muted)]
    shown, quiet = told[:most], len(beside) - len(told)
    texts = [clean(one.text) for one in shown]
    more = [f"{len(told) - len(shown)} more"] if len(told) > len(shown) else []
    more += [f"{quiet} muted"] if quiet else []
    if not shown:
        return [row((f"{counted(quiet, 'warning')} muted: !", "quiet"))] if quiet else []
    if more:
        rest = f"  {', '.join(more)}: !"
    else:
        rest = "  !: all of it" if any(cell_len(text) > width - 2 for text in texts) else ""
    rooms = [width - 2] * (len(shown) - 1) + [width - 2 - cell_len(rest)]
    rows = [row(mark(one), (cut(text, room), "label")) for one, text, room in zip(shown, texts, rooms, strict=True)]
    return [*rows[:-1], Row((*rows[-1].parts, (rest, "accent")))] if rest else rows


def warning_picks(plan: Plan, muted: Collection[str], width: int) -> list[Pick]:
    """Every warning whole under the heading of its severity; of a muted one the first line."""
    picks: list[Pick] = []
    numbered = enumerate(all_warnings(plan))
    for severity, group in groupby(numbered, key=lambda one: one[1].severity):
        found = list(group)
        (character, tone), (name, meaning) = MARKS[severity], SAID[severity]
        picks += [Pick("gap", (row(),), fixed=True)] if picks else []
        heading = row((f"{character} {counted(len(found), name)}", tone), (f"  {meaning}", "label"))
        picks.append(Pick(severity, (heading,), fixed=True))
        picks += [_pick(number, one, muted, width - MARGIN) for number, one in found]
    return picks


def _pick(number: int, warning: CodedWarning, muted: Collection[str], width: int) -> Pick:
    key, text = f"{number}:{warning.code}", clean(warning.text)
    if is_muted(warning, muted):
        return Pick(key, (row(("  muted  ", "quiet"), (cut(text, max(20, width - 9)), "quiet")),))
    first, *others = wrap(text, max(20, width - 4)) or [""]
    lines = (row(("  ", "plain"), mark(warning), (first, "plain")), *(row((f"    {line}", "plain")) for line in others))
    return Pick(key, lines, fixed=warning.severity == "stop")


class WarningList(PickList):
    """The warnings; enter mutes one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "mute or show", key_display="enter")]


class WarningsPopup(Popup[None]):
    """The window of all warnings. One that is muted is shown here alone, until it is shown again or the wizard ends.

    Args:
        plan: Whose.
        muted: Codes of the muted ones.
        toggle: Called with a code that is to be muted or shown; returns all that are muted then.
    """

    DEFAULT_CSS = """
    WarningsPopup PickList { height: auto; max-height: 100%; }
    """

    def __init__(self, plan: Plan, muted: Collection[str], toggle: Callable[[str], Collection[str]]) -> None:
        super().__init__()
        self._plan, self._muted, self._toggle = plan, muted, toggle

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(classes="popup") as box:
            box.border_title = "warnings"
            box.border_subtitle = "enter mutes one while the wizard is open · esc closes"
            yield WarningList(self._build)
        yield KeyBar()

    def on_mount(self) -> None:
        """Take the focus."""
        self.query_one(WarningList).focus()

    def _build(self, width: int) -> Sequence[Pick]:
        return warning_picks(self._plan, self._muted, width)

    @on(PickList.Chosen)
    def _chosen(self, event: PickList.Chosen) -> None:
        self._muted = self._toggle(event.pick.key.partition(":")[2])
        self.query_one(WarningList).show(self._build)
