"""Correct by hand how rows are read: first the shape, then the column of each of its roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tui.clean import clean
from tui.screens.popup import PickPopup
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Tone, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from recommender.data.profile import DataProfile
    from tui.app import WizardApp

NONE = "none:"
COLUMN = "column:"


class Known(NamedTuple):
    """What is known of the rows before the person has said anything."""

    shape: str
    columns: Mapping[str, str]
    columns_seen: Sequence[str]


def ask_format(wizard: WizardApp, profile: DataProfile | None, seen: Sequence[str] = ()) -> None:
    """Ask for the shape, then for its columns, then read the data again.

    Args:
        wizard: The application.
        profile: The data as it was read; None where its rows were not taken.
        seen: The columns of such rows.
    """
    known = Known(profile.shape, profile.columns, profile.columns_seen) if profile else Known("", {}, tuple(seen))
    from recommender.data.shapes import ROLES

    def build(_width: int, _wanted: str) -> list[Pick]:
        picks = [Pick("auto", (row((cell("auto", 20), "bright"), ("recognised by its columns", "label")),))]
        for name, roles in ROLES.items():
            picks.append(Pick(name, (row((cell(name, 20), "bright"), (", ".join(roles), "label")),)))
        return picks

    def answered(shape: str | None) -> None:
        if shape == "auto":
            wizard.flow.open_data(format=None, columns=None)
        elif shape is not None:
            _ask_roles(wizard, known, shape, list(ROLES[shape]), {})

    wizard.push_screen(PickPopup("shape of a row", build, current=known.shape or "auto", width=74, height=10), answered)


def _ask_roles(wizard: WizardApp, profile: Known, shape: str, left: list[str], chosen: dict[str, str]) -> None:
    from recommender.data.shapes import REQUIRED

    if not left:
        wizard.flow.open_data(format=shape, columns=chosen or None)
        return
    role, *rest = left
    needed = role in REQUIRED[shape]

    def build(_width: int, _wanted: str) -> list[Pick]:
        picks = [Pick(COLUMN + name, (row((clean(name), "bright")),)) for name in profile.columns_seen]
        tone: Tone = "quiet"
        return picks if needed else [Pick(NONE, (row(("no column", tone)),)), *picks]

    def answered(key: str | None) -> None:
        if key is None:
            return
        named = {} if key == NONE else {role: key.removeprefix(COLUMN)}
        _ask_roles(wizard, profile, shape, rest, chosen | named)

    current = profile.columns.get(role)
    note = "needed" if needed else "may be left out"
    height = min(18, len(profile.columns_seen) + 4)
    wizard.push_screen(
        PickPopup(
            f"{shape}: which column is '{role}'? ({note})",
            build,
            current=COLUMN + current if current else NONE,
            width=60,
            height=height,
        ),
        answered,
    )
