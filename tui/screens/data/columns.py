"""Correct by hand how rows are read: which data set, its shape, the column of each role, and who speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tui.screens.data.sources import as_mapping, short_name, source_row
from tui.screens.data.speakers import ask_speakers
from tui.screens.popup import PickPopup
from tui.terminal.sanitize import clean
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Row, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from recommender.data.dataset import DataSet
    from recommender.data.formats.recognise import ShapeError
    from recommender.data.formats.role_names import RoleMapping, RoleNames
    from recommender.data.profile.profile import SourceFacts
    from tui.wizard.host import WizardHost

TAKE, NONE = "take:", "none:"
ROLE, COLUMN = "role:", "column:"


class Known(NamedTuple):
    """Facts about a data set's rows before the person has said anything."""

    number: int
    """Index of the data set, in the order in which they were given."""
    shape: str
    """Empty where its rows were not taken."""
    columns: Mapping[str, str]
    columns_seen: Sequence[str]
    turns: Sequence[RoleNames]
    first: Mapping[str, Any]
    """The first row."""
    role_mapping: RoleMapping | None = None


def ask_refused(wizard: WizardHost, error: ShapeError) -> None:
    """Ask for the reading of rows that were not taken as they are."""
    _ask_shape(wizard, Known(error.source, "", {}, error.columns, error.turns, error.first))


def ask_format(wizard: WizardHost, dataset: DataSet) -> None:
    """Ask which data set where there are several, then for its shape and columns, then read the data again."""
    profile = dataset.profile
    known = [_known(number, source, dataset) for number, source in enumerate(profile.sources)]
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


def _known(number: int, source: SourceFacts, dataset: DataSet) -> Known:
    before = sum(other.rows for other in dataset.profile.sources[:number])
    first = dataset.row(before) if source.rows else {}
    return Known(
        number, source.shape, source.columns, source.columns_seen, source.turns_seen, first, source.role_mapping
    )


def _ask_shape(wizard: WizardHost, known: Known) -> None:
    from recommender.data.formats.recognise import ROLES

    def build(_width: int, _wanted: str) -> list[Pick]:
        named = [("auto", "recognised by its columns"), *((name, ", ".join(_roles(name))) for name in ROLES)]
        return [Pick(name, (row((cell(name, 20), "bright"), (roles, "label")),)) for name, roles in named]

    def answered(shape: str | None) -> None:
        if shape == "auto":
            _read_as(wizard, known.number, None, {})
        elif shape is not None:
            _ask_roles(wizard, known, shape, _begin(known, shape), TAKE)

    name = _name(wizard, known.number)
    title = f"{name}: shape of a row" if name else "shape of a row"
    wizard.push_screen(PickPopup(title, build, current=known.shape or "auto", width=74, height=10), answered)


def _roles(shape: str) -> list[str]:
    """The roles of a shape that a column can be given here."""
    from recommender.data.formats.column_roles import ROLES, TOLD

    return [role for role in ROLES[shape] if role not in TOLD]


def _begin(known: Known, shape: str) -> dict[str, str]:
    """The columns that the roles most likely have: as they are read now, else by their names, then by their texts."""
    from recommender.data.formats.column_roles import likely_pairs, roles_by_name, text_columns

    if shape == known.shape:
        return {role: column for role, column in known.columns.items() if role in _roles(shape)}
    found = roles_by_name(shape, known.columns_seen)
    first, *others = _roles(shape)
    pairs = likely_pairs([known.first], known.columns_seen)
    if shape == "alpaca" and "instruction" not in found and "output" not in found and pairs:
        found |= dict(zip(("instruction", "output"), pairs[0], strict=True))
    elif shape in {"prompt-completion", "preference"} and not found and pairs:
        found |= dict(zip((first, others[0]), pairs[0], strict=True))
    elif shape in {"messages", "sharegpt"} and first not in found and known.turns:
        found[first] = known.turns[0].column
    elif shape == "text" and not found and (texts := text_columns([known.first], known.columns_seen)):
        found["text"] = max(texts, key=lambda column: len(str(known.first.get(column))))
    return found


def _ask_roles(wizard: WizardHost, known: Known, shape: str, chosen: dict[str, str], at: str) -> None:
    """Show the column of each role, with its first cell; each line can be changed."""
    from recommender.data.formats.column_roles import REQUIRED

    missing = [role for role in REQUIRED[shape] if role not in chosen]

    def build(width: int, _wanted: str) -> list[Pick]:
        take = row(("→ ", "accent"), ("read the rows so", "quiet" if missing else "bright"))
        lines = [Pick(ROLE + role, (_role_line(known, role, chosen.get(role), role in missing, width),))
                 for role in _roles(shape)]  # fmt: skip
        return [Pick(TAKE, (take,)), *lines]

    def answered(key: str | None) -> None:
        if key == TAKE and not missing:
            _ask_words(wizard, known, shape, chosen)
        elif key is not None:
            role = missing[0] if key == TAKE else key.removeprefix(ROLE)
            _ask_column(wizard, known, shape, chosen, role)

    title = f"{shape}: enter changes a line"
    height = len(_roles(shape)) + 4
    start = ROLE + missing[0] if missing and at == TAKE else at
    wizard.push_screen(PickPopup(title, build, current=start, width=88, height=height), answered)


def _role_line(known: Known, role: str, column: str | None, needed: bool, width: int) -> Row:
    """Role, column and its first cell."""
    if column is None:
        return row((cell(role, 16), "label"), ("needed" if needed else "no column", "caution" if needed else "quiet"))
    first = " ".join(str(known.first.get(column, "")).split())
    return row(
        (cell(role, 16), "label"),
        (cell(clean(column), 24), "bright"),
        (cell(clean(first), max(8, width - 42)), "quiet"),
    )


def _ask_column(wizard: WizardHost, known: Known, shape: str, chosen: dict[str, str], role: str) -> None:
    """Ask for one role's column, among those that no other role has."""
    taken = {column for other, column in chosen.items() if other != role}
    free = [column for column in known.columns_seen if column not in taken]

    def build(width: int, _wanted: str) -> list[Pick]:
        none = Pick(NONE, (row(("no column", "quiet")),))
        return [none, *(Pick(COLUMN + column, (_column_line(known, column, width),)) for column in free)]

    def answered(key: str | None) -> None:
        others = {other: column for other, column in chosen.items() if other != role}
        named = {} if key in {None, NONE} else {role: str(key).removeprefix(COLUMN)}
        _ask_roles(wizard, known, shape, chosen if key is None else others | named, ROLE + role)

    current = COLUMN + chosen[role] if role in chosen else NONE
    height = min(18, len(free) + 4)
    wizard.push_screen(
        PickPopup(f"{shape}: which column is '{role}'?", build, current=current, width=80, height=height), answered
    )


def _column_line(known: Known, column: str, width: int) -> Row:
    first = " ".join(str(known.first.get(column, "")).split())
    return row((cell(clean(column), 24), "bright"), (cell(clean(first), max(8, width - 26)), "quiet"))


def _ask_words(wizard: WizardHost, known: Known, shape: str, chosen: dict[str, str]) -> None:
    """Ask who speaks where the rows are conversations; then read them."""
    column = chosen.get("conversations") or chosen.get("messages")
    turns = next((held for held in known.turns if held.column == column), None)

    def spoken(words: dict[str, str]) -> None:
        _read_as(wizard, known.number, shape, chosen | words)

    if turns is None:
        spoken({})
    else:
        ask_speakers(wizard, turns, known.role_mapping, spoken)


def _name(wizard: WizardHost, number: int) -> str:
    """Name of a data set where there are several."""
    train = list(wizard.state.data.get("train") or [])
    return clean(short_name(as_mapping(train[number])["path"])) if len(train) > 1 else ""


def _read_as(wizard: WizardHost, number: int, shape: str | None, columns: dict[str, str]) -> None:
    """Read the data again: of several data sets, or of one that has columns of its own, only this one is meant."""
    train = list(wizard.state.data.get("train") or [])
    item = as_mapping(train[number])
    if len(train) == 1 and not {"format", "columns"} & item.keys():
        wizard.flow.data.change(format=shape, columns=columns or None)
        return
    rest = {key: value for key, value in item.items() if key not in {"format", "columns"}}
    told = {key: value for key, value in (("format", shape), ("columns", columns or None)) if value is not None}
    train[number] = {**rest, **told} if len(rest) > 1 or told else rest["path"]
    wizard.flow.data.change(train=train)
