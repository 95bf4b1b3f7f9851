"""Correct by hand how rows are read: which data set, its shape, the column of each role, and who speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tui.clean import clean
from tui.screens.data_sets import as_mapping, short_name, source_row
from tui.screens.popup import PickPopup
from tui.screens.speakers import ask_speakers
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Tone, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from recommender.data.profile import DataProfile, SourceFacts
    from recommender.data.shapes import ShapeError
    from recommender.data.turn_words import Tags, TurnWords
    from tui.app import WizardApp

NONE = "none:"
COLUMN = "column:"


class Known(NamedTuple):
    """What is known of a data set's rows before the person has said anything."""

    number: int
    """Which data set, in the order in which they were given."""
    shape: str
    """Empty where its rows were not taken."""
    columns: Mapping[str, str]
    columns_seen: Sequence[str]
    turns: Sequence[TurnWords]
    tags: Tags | None = None


def ask_refused(wizard: WizardApp, error: ShapeError) -> None:
    """Ask how the rows are to be read that were not taken as they are."""
    _ask_shape(wizard, Known(error.source, "", {}, error.columns, error.turns))


def ask_format(wizard: WizardApp, profile: DataProfile) -> None:
    """Ask which data set where there are several, then for its shape and columns, then read the data again."""
    known = [_known(number, source) for number, source in enumerate(profile.sources)]
    if len(known) == 1:
        _ask_shape(wizard, known[0])
        return

    def build(width: int, _wanted: str) -> list[Pick]:
        return [
            Pick(str(number), (source_row(source, profile, width),)) for number, source in enumerate(profile.sources)
        ]

    def answered(key: str | None) -> None:
        if key is not None:
            _ask_shape(wizard, known[int(key)])

    wizard.push_screen(PickPopup("which data set?", build, width=96, height=len(known) + 3), answered)


def _known(number: int, source: SourceFacts) -> Known:
    return Known(number, source.shape, source.columns, source.columns_seen, source.turns_seen, source.tags)


def _ask_shape(wizard: WizardApp, known: Known) -> None:
    from recommender.data.shapes import ROLES

    def build(_width: int, _wanted: str) -> list[Pick]:
        picks = [Pick("auto", (row((cell("auto", 20), "bright"), ("recognised by its columns", "label")),))]
        for name, roles in ROLES.items():
            picks.append(Pick(name, (row((cell(name, 20), "bright"), (", ".join(roles), "label")),)))
        return picks

    def answered(shape: str | None) -> None:
        if shape == "auto":
            _read_as(wizard, known.number, None, {})
        elif shape is not None:
            _ask_roles(wizard, known, shape, list(ROLES[shape]), {})

    name = _name(wizard, known.number)
    title = f"{name}: shape of a row" if name else "shape of a row"
    wizard.push_screen(PickPopup(title, build, current=known.shape or "auto", width=74, height=10), answered)


def _ask_roles(wizard: WizardApp, known: Known, shape: str, left: list[str], chosen: dict[str, str]) -> None:
    from recommender.data.shapes import REQUIRED

    if not left:
        _ask_words(wizard, known, shape, chosen)
        return
    role, *rest = left
    needed = role in REQUIRED[shape]

    def build(_width: int, _wanted: str) -> list[Pick]:
        picks = [Pick(COLUMN + name, (row((clean(name), "bright")),)) for name in known.columns_seen]
        tone: Tone = "quiet"
        return picks if needed else [Pick(NONE, (row(("no column", tone)),)), *picks]

    def answered(key: str | None) -> None:
        if key is None:
            return
        named = {} if key == NONE else {role: key.removeprefix(COLUMN)}
        _ask_roles(wizard, known, shape, rest, chosen | named)

    current = known.columns.get(role)
    note = "needed" if needed else "may be left out"
    height = min(18, len(known.columns_seen) + 4)
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


def _ask_words(wizard: WizardApp, known: Known, shape: str, chosen: dict[str, str]) -> None:
    """Ask who speaks where the rows are conversations; then read them."""
    column = chosen.get("conversations") or chosen.get("messages")
    turns = next((held for held in known.turns if held.column == column), None)

    def spoken(words: dict[str, str]) -> None:
        _read_as(wizard, known.number, shape, chosen | words)

    if turns is None:
        spoken({})
    else:
        ask_speakers(wizard, turns, known.tags, spoken)


def _name(wizard: WizardApp, number: int) -> str:
    """What a data set is called where there are several."""
    train = list(wizard.state.data.get("train") or [])
    return clean(short_name(as_mapping(train[number])["path"])) if len(train) > 1 else ""


def _read_as(wizard: WizardApp, number: int, shape: str | None, columns: dict[str, str]) -> None:
    """Read the data again: of several data sets, or of one that has columns of its own, only this one is meant."""
    train = list(wizard.state.data.get("train") or [])
    item = as_mapping(train[number])
    if len(train) == 1 and not {"format", "columns"} & item.keys():
        wizard.flow.open_data(format=shape, columns=columns or None)
        return
    rest = {key: value for key, value in item.items() if key not in {"format", "columns"}}
    told = {key: value for key, value in (("format", shape), ("columns", columns or None)) if value is not None}
    train[number] = {**rest, **told} if len(rest) > 1 or told else rest["path"]
    wizard.flow.open_data(train=train)
