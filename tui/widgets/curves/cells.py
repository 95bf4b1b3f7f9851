"""Finds the cells of a curve's canvas that have changed since it was last painted, so that only those are sent."""

from __future__ import annotations

from textual.geometry import Region

from tui.widgets.curves.plot import Cells


def changed_rows(before: Cells, after: Cells) -> list[Region]:
    """Return for each row that differs the span from its first to its last differing cell.

    Args:
        before: Characters and styles by row and column.
        after: The same, later; another size means that everything changed.
    """
    (old_text, old_style), (text, style) = before, after
    if len(old_text) != len(text) or (text and len(old_text[0]) != len(text[0])):
        return [Region(0, 0, len(text[0]), len(text))] if text else []
    found = []
    for y, row in enumerate(text):
        if row == old_text[y] and style[y] == old_style[y]:
            continue
        columns = [x for x in range(len(row)) if _differs(old_text[y][x], old_style[y][x], row[x], style[y][x])]
        if columns:
            found.append(Region(columns[0], y, columns[-1] - columns[0] + 1, 1))
    return found


def _differs(old_cell: str, old_style: str, cell: str, style: str) -> bool:
    """Whether a cell looks different; the colour of a blank does not show."""
    return cell != old_cell or (cell != " " and style != old_style)
