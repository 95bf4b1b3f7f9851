"""Texts of the list of runs: columns, or two lines a run where the screen is narrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recommender.units import count, duration
from trainer.run.events import ENDED
from tui.dashboard.now import status_part
from tui.terminal.sanitize import clean
from tui.widgets.curves.ticks import short
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Row, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from trainer.history.listing import RunSummary

STATE, STEP, LOSS, AGE = 13, 15, 7, 9
"""Cells of the columns that do not grow."""
WIDE = 130
"""Columns from which everything has one line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A run with what its configuration says of it."""

    run: RunSummary
    model: str
    data: str


def _columns(width: int) -> tuple[int, int, int]:
    """Cells for run, model and data where everything has one line."""
    free = width - STATE - STEP - 2 * LOSS - AGE - 7 * 2
    run = min(44, free * 2 // 5)
    model = (free - run) * 3 // 5
    return run, model, free - run - model


def headings(width: int) -> str:
    """The names over the columns of a list of that many cells."""
    if width < WIDE:
        return f"{cell('state', STATE)}  {cell('run', width - STATE - STEP - 4)}  {cell('step', STEP, 'right')}"
    run, model, data = _columns(width)
    names = [cell("state", STATE), cell("run", run), cell("model", model), cell("data", data)]
    names += [
        cell(name, size, "right") for name, size in (("step", STEP), ("loss", LOSS), ("eval", LOSS), ("age", AGE))
    ]
    return "  ".join(names)


def lines_of(line: Line, width: int, now: float) -> tuple[Row, ...]:
    """A run in one line, or in two where the screen is narrow; a reason stands below it."""
    run = line.run
    rows = [_one_line(line, width, now)] if width >= WIDE else _two_lines(line, width, now)
    if run.reason and run.status in ENDED and run.reason != "every step is done":
        rows.append(row((f"{'':{STATE}}  {clean(run.reason)}", "caution")))
    return tuple(rows)


def _one_line(line: Line, width: int, now: float) -> Row:
    run = line.run
    room, model, data = _columns(width)
    status, tone = status_part(run.status)
    return row(
        (cell(status, STATE), tone),
        (f"  {cell(clean(run.id), room)}", "bright"),
        (f"  {cell(line.model.rsplit('/', 1)[-1], model)}", "label"),
        (f"  {cell(line.data, data)}", "label"),
        f"  {cell(_steps(run), STEP, 'right')}",
        f"  {cell(_loss(run.loss), LOSS, 'right')}",
        f"  {cell(_loss(run.eval_loss), LOSS, 'right')}",
        (f"  {cell(_age(run, now), AGE, 'right')}", "quiet"),
    )


def _two_lines(line: Line, width: int, now: float) -> list[Row]:
    run = line.run
    status, tone = status_part(run.status)
    figures = [
        f"loss {_loss(run.loss)}" if run.loss is not None else "",
        f"eval {_loss(run.eval_loss)}" if run.eval_loss is not None else "",
        _age(run, now),
        line.model.rsplit("/", 1)[-1],
        line.data,
    ]
    return [
        row(
            (cell(status, STATE), tone),
            (f"  {cell(clean(run.id), width - STATE - STEP - 4)}", "bright"),
            f"  {cell(_steps(run), STEP, 'right')}",
        ),
        row((f"{'':{STATE}}  {' · '.join(figure for figure in figures if figure)}", "quiet")),
    ]


def _steps(run: RunSummary) -> str:
    return f"{count(run.step)}/{count(run.total_steps)}" if run.total_steps else count(run.step)


def model_and_data(path: Path) -> tuple[str, str]:
    """Model and data that a run's configuration names; empty where it cannot be read."""
    import yaml

    from trainer.run.folder import RunFolder

    try:
        raw = yaml.safe_load(RunFolder(path).config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return "", ""
    if not isinstance(raw, dict):
        return "", ""
    data = raw.get("data")
    train = data.get("train") if isinstance(data, dict) else None
    files = train if isinstance(train, list) else [train]
    names = [str(entry.get("path") if isinstance(entry, dict) else entry) for entry in files if entry]
    model = str(raw.get("model") or "")
    return clean(_tail(model)), clean(", ".join(_tail(name) for name in names))


def _tail(path: str) -> str:
    """The last part of a path that begins at the root; a hub id as it is."""
    return Path(path).name if path.startswith(("/", "~", ".")) else path


def _loss(loss: float | None) -> str:
    return short(loss) if loss is not None else ""


def _age(summary: RunSummary, now: float) -> str:
    """Time since the run began, in its largest unit."""
    if summary.started is None:
        return ""
    shown = duration(max(60.0, now - summary.started)).split(" ")
    return " ".join(shown[:2])


def picks_of_runs(but: Path) -> Callable[[int, str], Sequence[Pick]]:
    """The other runs of a run's folder, newest first, for a list to choose from; a key is a run's path."""
    from trainer.history.listing import list_runs

    runs = [run for run in list_runs(but.parent) if run.path != but and run.step]

    def build(width: int, wanted: str) -> Sequence[Pick]:
        found = [run for run in runs if wanted.casefold() in run.id.casefold()]
        if not found:
            return (Pick("", (row(("no other run with steps here", "quiet")),), fixed=True),)
        return [Pick(str(run.path), (_named(run, width),)) for run in found]

    return build


def _named(run: RunSummary, width: int) -> Row:
    status, tone = status_part(run.status)
    evaluated = f"  eval {_loss(run.eval_loss)}" if run.eval_loss is not None else ""
    steps = f"  {cell(_steps(run), STEP, 'right')}"
    name = cell(clean(run.id), max(10, width - STATE - STEP - 18))
    return row((cell(status, STATE), tone), (f"  {name}", "bright"), steps, evaluated)
