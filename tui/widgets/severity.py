"""Marks of a warning's severity: a character and a tone that say the same, so that it shows without colour too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from recommender.warning import CodedWarning, Severity
    from tui.widgets.rows import Part, Tone

MARKS: Final[Mapping[Severity, tuple[str, Tone]]] = {
    "stop": ("✗", "bad"),
    "warning": ("!", "caution"),
    "note": ("i", "label"),
}


def mark(warning: CodedWarning) -> Part:
    """Return the mark of a warning, with the space behind it."""
    character, tone = MARKS[warning.severity]
    return f"{character} ", tone


def plain_line(warning: CodedWarning) -> str:
    """Return a warning as a line of plain text."""
    return f"{MARKS[warning.severity][0]} {warning.text}"
