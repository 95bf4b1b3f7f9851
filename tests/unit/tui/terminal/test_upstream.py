"""The private names of Textual and textual-plot that we lean on are there, and only where they are named.

Where one of these tests fails after an upgrade, its message says which name has gone or changed; the one file that uses
it is `tui/terminal/textual_internals.py` or `tui/widgets/curves/plot.py`.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.headless_driver import HeadlessDriver
from textual_hires_canvas import Canvas
from textual_plot import PlotWidget

import tui

TUI = Path(tui.__file__).parent
TEXTUAL, PLOT = TUI / "terminal" / "textual_internals.py", TUI / "widgets" / "curves" / "plot.py"

OF_APP = ("_driver", "_exception", "_return_code")
OF_PLOT = (
    *("_x_min", "_x_max", "_y_min", "_y_max", "_auto_x_min", "_auto_x_max", "_auto_y_min", "_auto_y_max"),
    "_scale_rectangle",
)
OF_CANVAS = ("_canvas_size", "_buffer", "_styles", "_refreshes_pending")
METHODS: tuple[tuple[type[Any], str, tuple[str, ...]], ...] = (
    (App, "_fatal_error", ("self",)),
    (PlotWidget, "_rerender", ("self",)),
    (PlotWidget, "_render_plot", ("self",)),
    (PlotWidget, "_render_x_label", ("self",)),
    (PlotWidget, "_render_y_label", ("self",)),
    (XTermParser, "__init__", ("self", "debug")),
    (XTermParser, "feed", ("self", "data")),
    (XTermParser, "tick", ("self",)),
)


@pytest.mark.parametrize("name", OF_APP)
def test_an_application_has_it(name: str) -> None:
    assert name in vars(App()), f"Textual's App has no {name} any more"


async def test_a_driver_says_whether_it_debugs() -> None:
    assert "_debug" in vars(HeadlessDriver(App())), "Textual's Driver has no _debug any more"


@pytest.mark.parametrize("name", OF_PLOT)
def test_a_plot_has_it(name: str) -> None:
    assert hasattr(PlotWidget(), name), f"textual-plot's PlotWidget has no {name} any more"


@pytest.mark.parametrize("name", OF_CANVAS)
def test_a_canvas_has_it(name: str) -> None:
    assert name in vars(Canvas()), f"textual-hires-canvas's Canvas has no {name} any more"


@pytest.mark.parametrize(("owner", "name", "parameters"), METHODS)
def test_a_method_is_called_as_we_call_it(owner: type[Any], name: str, parameters: tuple[str, ...]) -> None:
    method = getattr(owner, name, None)
    assert method is not None, f"{owner.__name__}.{name} has gone"
    found = tuple(inspect.signature(method).parameters)
    assert found[: len(parameters)] == parameters, f"{owner.__name__}.{name} takes {found}"


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        (App._handle_exception, "_fatal_error"),
        (PlotWidget.render, "_render_plot"),
        (PlotWidget.set_xlimits, "_rerender"),
        (PlotWidget._zoom, "_rerender"),
        (PlotWidget._pan, "_rerender"),
        (PlotWidget._render_plot, "_render_x_label"),
        (Canvas.refresh, "_refreshes_pending"),
    ],
)
def test_upstream_still_calls_what_we_override(caller: Any, called: str) -> None:
    assert f"self.{called}" in inspect.getsource(caller), f"{caller.__qualname__} does not use {called} any more"


def test_each_librarys_private_names_stand_in_one_file() -> None:
    of_textual = (*OF_APP, "_fatal_error", "_debug", "_xterm_parser", "_handle_exception", "_parent")
    of_plot = {*OF_PLOT, *OF_CANVAS, *(name for owner, name, _ in METHODS if owner is PlotWidget)}
    for home, names in ((TEXTUAL, of_textual), (PLOT, of_plot)):
        private = re.compile(rf"(?<![A-Za-z])({'|'.join(names)})\b")
        users = [path for path in TUI.rglob("*.py") if private.search(path.read_text(encoding="utf-8"))]
        assert users == [home]
