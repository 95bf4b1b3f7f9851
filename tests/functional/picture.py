"""Pictures of the screen, held against those in `__snapshots__`; `pytest --snapshot-update` takes them anew.

A mismatch says which lines differ and writes `snapshot_report.html`, with both pictures side by side.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from difflib import unified_diff
from html import unescape
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input

Compare = Callable[[App[Any], tuple[int, int], Callable[[Pilot[Any]], Awaitable[None]]], None]
"""Hold the picture of an application of a size, after what is done to it, against the one that is kept."""
Size = tuple[int, int]
SIZES = [pytest.param((80, 24), id="80x24"), pytest.param((120, 40), id="120x40")]

_DROPPED = re.compile(
    r"<!--.*?-->|@font-face \{.*?\}|<clipPath.*?</clipPath>|<defs>\s*</defs>| (?:clip-path|textLength)=\"[^\"]*\"",
    re.DOTALL,
)
_CLASS = re.compile(r"terminal-\d+-(\w+)")
_HUNDREDTHS = re.compile(r'(?<==")(\d+\.\d)\d+(?=")')
_RECTANGLE = re.compile(
    r'<rect fill="(?P<fill>[^"]+)" x="(?P<x>[\d.]+)" y="(?P<y>[\d.]+)"'
    r' width="(?P<width>[\d.]+)" height="(?P<height>[\d.]+)" shape-rendering="crispEdges"/>'
)
_TEXT = re.compile(r'<text class="[^"]+" x="([\d.]+)" y="([\d.]+)">([^<]*)</text>')
_NEWLINE = re.compile(r'<text class="\w+" x="[\d.]+" y="[\d.]+">\n</text>')
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
CELL = 12.2
"""Width of a cell in the picture."""


def compact(svg: str) -> str:
    """Return the picture without web fonts, clipping, ids that change from run to run and cells drawn one by one."""
    svg = _HUNDREDTHS.sub(r"\1", _CLASS.sub(r"\1", _DROPPED.sub("", svg)))
    cells = list(_RECTANGLE.finditer(svg))
    merged = "".join(
        map(_row_of_one_colour, (list(row) for _, row in groupby(cells, key=lambda cell: cell["fill"] + cell["y"])))
    )
    start, end = cells[0].start(), cells[-1].end()
    lines = (svg[:start] + merged + svg[end:]).splitlines()
    return _NEWLINE.sub("", "\n".join(line.strip() for line in lines if line.strip()) + "\n").replace("&#160;", "\xa0")


def _row_of_one_colour(row: list[re.Match[str]]) -> str:
    """Return one rectangle for neighbours in a line that have the same colour."""
    first, last = row[0], row[-1]
    width = float(last["x"]) + float(last["width"]) - float(first["x"])
    place = f'x="{first["x"]}" y="{first["y"]}" width="{width:g}" height="{first["height"]}"'
    return f'<rect fill="{first["fill"]}" {place}/>\n'


def text_of(svg: str) -> list[str]:
    """Return the lines of text in a compact picture."""
    lines: dict[float, str] = {}
    for x, y, text in _TEXT.findall(svg):
        lines[float(y)] = lines.get(float(y), "").ljust(round(float(x) / CELL)) + unescape(text).replace("\xa0", " ")
    return [lines[y].rstrip() for y in sorted(lines)]


async def hold_still(pilot: Pilot[Any]) -> None:
    """Wait until two looks see the same, without what stays for seconds only: messages and the blink of a cursor."""
    app = pilot.app
    for field in app.screen.query(Input):
        field.cursor_blink = False
    before: list[str] | None = None
    while before != (before := [strip.text for strip in app.screen._compositor.render_strips()]):
        app.clear_notifications()
        await pilot.pause(0.1)


def is_pinned(package: str) -> bool:
    """Return whether the installed version is the one that was tested."""
    return f"{package}=={version(package)}" in CONSTRAINTS.read_text(encoding="utf-8").split()


@pytest.fixture
def assert_picture(
    snap_compare: Callable[..., bool], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Compare:
    """Return what takes a picture and compares it, as on a terminal that draws Unicode in colour."""
    if not is_pinned("textual"):
        pytest.skip("the pictures are of the version of Textual in constraints.txt")
    for name, value in {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)

    def compare(app: App[Any], size: Size, act: Callable[[Pilot[Any]], Awaitable[None]]) -> None:
        taken = ""
        export = app.export_screenshot

        def export_compact(*, title: str | None = None, simplify: bool = False) -> str:
            nonlocal taken
            taken = compact(export(title=title, simplify=simplify))
            return taken

        async def act_and_hold(pilot: Pilot[Any]) -> None:
            await act(pilot)
            await hold_still(pilot)

        app.export_screenshot = export_compact  # type: ignore[method-assign]  # taken for the whole application
        if not snap_compare(app, terminal_size=size, run_before=act_and_hold):
            pytest.fail(_difference(request, taken))

    return compare


def _difference(request: pytest.FixtureRequest, taken: str) -> str:
    path = request.path.parent / "__snapshots__" / request.path.stem / f"{request.node.name}.svg"
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = list(unified_diff(text_of(kept), text_of(taken), "kept", "now", lineterm="", n=0))
    return "\n".join(lines or ["only colours differ"]) + "\nsnapshot_report.html shows both"
