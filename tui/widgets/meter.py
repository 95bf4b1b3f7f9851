"""Memory at the worst step as one stacked bar with its legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from recommender.units import gib_number

if TYPE_CHECKING:
    from recommender.estimate.types import Estimate

COLOURS: Mapping[str, str] = {
    "weights": "$primary",
    "adapter": "$extra2",
    "optimizer": "$extra",
    "gradients": "$primary 55%",
    "activations": "$success",
    "loss": "$warning",
    "workspace": "$error 60%",
    "allocator": "$line",
    "context": "$quiet",
}
FILLS: Mapping[str, str] = {
    "weights": "█",
    "adapter": "A",
    "optimizer": "O",
    "gradients": "G",
    "activations": "▒",
    "loss": "L",
    "workspace": "W",
    "allocator": "=",
    "context": "C",
}
"""Characters that tell parts apart without colour."""
REST = "·"


def shares(parts: Mapping[str, int], total: int, width: int) -> dict[str, int]:
    """Cells of each part in a bar of `width` cells that stands for `total` bytes.

    Parts are rounded at their ends, so that no error adds up.
    """
    cells: dict[str, int] = {}
    done, at = 0, 0
    for name, nbytes in parts.items():
        done += nbytes
        end = min(width, round(done * width / total)) if total > 0 else 0
        cells[name] = max(0, end - at)
        at = max(at, end)
    return cells


def bar(estimate: Estimate, width: int, *, colour: bool) -> Content:
    """The bar: each part, the room that is left, and where free memory ends when the plan is beyond it."""
    needed, free = estimate.peak.needed_bytes, estimate.free_bytes
    total = max(needed, free, 1)
    cells = shares(estimate.needed_parts, total, width)
    pieces = [
        (("█" if colour else FILLS.get(name, "#")) * number, COLOURS.get(name, "$label") if colour else "")
        for name, number in cells.items()
        if number
    ]
    used = sum(cells.values())
    drawn = Content.assemble(*pieces, (REST * (width - used), "$line"))
    if needed <= free:
        return drawn
    edge = min(width - 1, max(0, round(free * width / total)))
    return Content.assemble(drawn[:edge], ("┃", "bold $error"), drawn[edge + 1 :])


def legend(estimate: Estimate, width: int, *, colour: bool, cuda: bool) -> Content:
    """Each part with its mark and GiB in the order of the bar; the smallest that do not fit are summed."""
    entries: list[tuple[Content, int]] = []
    for name, nbytes in estimate.needed_parts.items():
        if gib_number(nbytes) == "0.0":
            continue
        mark = ("■" if colour else FILLS.get(name, "#"), COLOURS.get(name, "$label") if colour else "")
        title = ("CUDA" if cuda else "process") if name == "context" else name
        entries.append((Content.assemble(mark, (f" {title} ", "$label"), (gib_number(nbytes), "$foreground")), nbytes))
    return _that_fit(entries, width)


def _that_fit(entries: Sequence[tuple[Content, int]], width: int) -> Content:
    """The largest parts with the sum of the others, which has its own place in the line."""
    if sum(entry.cell_length + 2 for entry, _ in entries) - 2 <= width:
        return Content("  ").join([entry for entry, _ in entries])
    room = width - len(f"others {gib_number(sum(nbytes for _, nbytes in entries))}")
    wanted: set[int] = set()
    for index in sorted(range(len(entries)), key=lambda index: -entries[index][1]):
        size = entries[index][0].cell_length + 2
        if size <= room:
            wanted.add(index)
            room -= size
    kept = [entries[index][0] for index in sorted(wanted)]
    rest = sum(nbytes for index, (_, nbytes) in enumerate(entries) if index not in wanted)
    return Content("  ").join([*kept, Content.styled(f"others {gib_number(rest)}", "$quiet")])


class Lines(Widget):
    """Lines that are exactly as wide as the widget allows: each is cut with an ellipsis, none wraps."""

    DEFAULT_CSS = """
    Lines { height: auto; width: 1fr; }
    """

    lines: reactive[tuple[Content, ...]] = reactive(())

    def watch_lines(self, old: tuple[Content, ...], new: tuple[Content, ...]) -> None:
        """Lay the screen out again only when the height changes: that takes longer than to price a plan."""
        if len(old) != len(new):
            self.refresh(layout=True)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:  # noqa: ARG002
        """Height in lines: one for each of `lines`."""
        return len(self.lines)

    def render(self) -> Content:
        """Draw all lines, each cut to the width."""
        width = self.size.width
        return Content("\n").join([line.truncate(width, ellipsis=True) for line in self.lines])
