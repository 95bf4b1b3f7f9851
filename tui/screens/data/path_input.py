"""Input of the paths on the Data screen, and its completions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.suggester import Suggester
from textual.widgets import Input

from recommender.paths import expanded


class PathSuggester(Suggester):
    """Completes the last path that is typed, from the folders and data files there."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The rest of the first name that begins so."""
        last = value.rpartition(" ")[2]
        if not last:
            return None
        typed = expanded(last)
        folder, start = (typed, "") if last.endswith("/") else (typed.parent, typed.name)
        found = first_match(folder, start)
        return None if found is None else value + found[len(start) :]


def first_match(folder: Path, start: str) -> str | None:
    """The first folder or data file in a folder whose name begins so; folders end in a slash."""
    from tui.screens.data.browse import is_data

    try:
        names = sorted(
            entry.name + "/" if entry.is_dir() else entry.name
            for entry in folder.iterdir()
            if entry.name.startswith(start) and (entry.is_dir() or is_data(entry))
        )
    except OSError:
        return None
    return next((name for name in names if name.rstrip("/") != start or name.endswith("/")), None)


class PathInput(Input):
    """The path of the data."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "open", key_display="enter"),
        Binding("right", "cursor_right", "complete", key_display="→"),
        Binding("escape", "screen.leave_path", "to the summary", key_display="esc"),
    ]


def as_typed(train: Sequence[Any]) -> str:
    """Data sets as they stand on the line: paths, and ID:CONFIGURATION:SPLIT for those of the hub."""
    return shlex.join(name_of(item) for item in train)


def name_of(item: Any) -> str:
    """Name of one entry of `data.train` on the line."""
    if not isinstance(item, Mapping):
        return str(getattr(item, "path", item))
    parts = [str(item["path"]), item.get("name") or "", item.get("split") or ""]
    return ":".join(parts).rstrip(":")


def with_settings(paths: Sequence[str], before: Sequence[Any]) -> list[Any]:
    """Typed paths, each with the weight and columns that it had before."""
    known = {name_of(item): item for item in before}
    return [known.get(path, path) for path in paths]
