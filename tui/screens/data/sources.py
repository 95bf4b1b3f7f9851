"""Several data sets: their weights, and well-known ones of the hub by name."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presets.errors import InputError
from recommender.paths import expanded
from recommender.units import count, counted, percent
from tui.screens.popup import PickPopup, ValuePopup
from tui.terminal.sanitize import clean
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Row, row
from tui.widgets.text import cell
from tui.wizard.steps.data import absolute

if TYPE_CHECKING:
    from recommender.data.profile.profile import DataProfile, SourceFacts
    from tui.wizard.host import WizardHost


def source_rows(profile: DataProfile, width: int) -> list[Row]:
    """A line for each data set where there are several."""
    if len(profile.sources) < 2:
        return []
    return [source_row(source, profile, width) for source in profile.sources]


def source_row(source: SourceFacts, profile: DataProfile, width: int) -> Row:
    """Name, weight, rows as they are taken, share of all tokens, shape; in columns with those of the other sources."""
    share = percent(source.tokens / profile.total_tokens if profile.total_tokens else 0.0)
    shapes = max(len(other.shape) for other in profile.sources)
    weight = f"×{source.weight:g}"
    of = " of tokens" if width >= 72 else ""
    noun = "row " if source.rows == 1 else "rows"
    figures = f"{weight:>5}  {count(source.rows):>7} {noun}  {share:>6}{of}"
    name = cell(clean(short_name(source.name)), max(8, width - len(figures) - shapes - 4))
    return row((name, "bright"), (figures, "label"), (f"  {clean(source.shape)}", "quiet"), indent=2)


def short_name(name: str) -> str:
    """A file's name without its folders; a hub id as it is."""
    return Path(name).name if Path(name).is_absolute() else name


def ask_weight(wizard: WizardHost, profile: DataProfile) -> None:
    """Choose one of the data sets, then type how often its rows are taken."""

    def build(width: int, _wanted: str) -> list[Pick]:
        return [
            Pick(str(number), (source_row(source, profile, width),)) for number, source in enumerate(profile.sources)
        ]

    def chosen(key: str | None) -> None:
        if key is None:
            return
        number = int(key)
        source = profile.sources[number]

        def take(text: str) -> None:
            set_weight(wizard, number, text)

        wizard.push_screen(
            ValuePopup(
                f"weight of {clean(short_name(source.name))}",
                f"{source.weight:g}",
                take,
                hint="2 takes each row twice, 0.5 every second one, 0 leaves the data set out",
            )
        )

    wizard.push_screen(
        PickPopup("data sets: enter changes a weight", build, width=96, height=len(profile.sources) + 3), chosen
    )


def set_weight(wizard: WizardHost, number: int, text: str) -> None:
    """Take one data set's rows so often.

    Raises:
        InputError: It is no number, or nothing would be left.
    """
    try:
        weight = float(text.replace(",", "."))
    except ValueError:
        raise InputError(f"'{text}' is not a number.") from None
    if not 0 <= weight <= 1000:
        raise InputError("A weight is a number from 0 to 1000.")
    train = list(wizard.state.data["train"])
    if weight == 0:
        del train[number]
    else:
        train[number] = {**as_mapping(train[number]), "weight": weight}
    if not train:
        raise InputError("No data would be left.")
    wizard.flow.data.change(train=train)


def held_out_row(profile: DataProfile) -> list[Row]:
    """Row of the number of rows in the files of `data.eval`, where there are any."""
    facts = profile.held_out
    if facts is None:
        return []
    return [
        row(
            ("held out: ", "label"),
            (counted(facts.rows, "row"), "bright"),
            (" in files of their own", "label"),
            indent=2,
        )
    ]


def ask_evaluation(wizard: WizardHost) -> None:
    """Type which files are held out for evaluation."""
    held = {as_mapping(item)["path"]: item for item in wizard.state.data.get("eval") or []}

    def take(text: str) -> None:
        try:
            paths = shlex.split(text)
        except ValueError:
            paths = [text]
        for path in paths:
            require_there(path)
        # What is said of a file's rows stays with it.
        wizard.flow.data.change(eval=[held.get(path, path) for path in absolute(paths)] or None)

    hint = "files, a folder or a hub id that are held out; nothing holds a share of the rows out (eval_fraction)"
    wizard.push_screen(ValuePopup("evaluation data", shlex.join(held), take, hint=hint))


def require_there(path: str) -> None:
    """Refuse a path that leads to no data here; what may be a hub id is asked of the hub when it is read.

    Raises:
        InputError: There is no such file, or no data file in the folder; it names the nearest.
    """
    from recommender.config.data_paths import names_hub_dataset
    from recommender.data.sources.files import find_files

    # FOLDER/NAME stands for a data set that the folder's dataset_info.json names.
    if not names_hub_dataset(path) and not (expanded(path).parent / "dataset_info.json").is_file():
        find_files(str(expanded(path)))


def as_mapping(item: Any) -> dict[str, Any]:
    """An entry of `data.train` with its keys."""
    if isinstance(item, Mapping):
        return dict(item)
    return item.model_dump(exclude_none=True) if hasattr(item, "model_dump") else {"path": str(item)}


def confirmed(profile: DataProfile, train: list[Any]) -> list[Any]:
    """`data.train` with the columns of each data set that were only guessed."""
    return [
        {**as_mapping(item), "columns": dict(source.columns)} if source.unconfirmed else item
        for item, source in zip(train, profile.sources, strict=True)
    ]


def ask_known(wizard: WizardHost) -> None:
    """Choose a well-known data set of the hub; it is fetched."""
    from presets.datasets import load_datasets

    known = load_datasets()

    def build(width: int, wanted: str) -> list[Pick]:
        picks = []
        for one in known:
            facts = f"{count(one.rows):>7} rows  " + cell(f"{one.language} · {one.licence}", 26)
            if wanted.lower() not in f"{one.title} {one.path} {one.about} {one.language}".lower():
                continue
            head = row((cell(one.title, 22), "bright"), (cell(one.path, max(10, width - 22 - len(facts) - 2)), "label"))
            picks.append(Pick(one.path, (Row((*head.parts, (facts, "label"))), row((f"  {one.about}", "quiet")))))
        return picks

    def chosen(path: str | None) -> None:
        if path is not None:
            source = next(one.source for one in known if one.path == path)
            wizard.flow.data.change(train=[source], format=None, columns=None, skip_bad_rows=None)

    wizard.push_screen(
        PickPopup("data sets of the hub", build, filtered=True, width=104, note="enter fetches it · esc closes"), chosen
    )
