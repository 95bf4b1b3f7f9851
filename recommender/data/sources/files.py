"""Search for data files by what the person typed: a file, a folder or a glob."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from difflib import get_close_matches
from glob import glob, has_magic
from pathlib import Path

from presets.errors import InputError
from recommender.config.data_paths import format_of
from recommender.paths import expanded

_SPLITS = "dataset_dict.json"
"""Names the splits of a folder that `datasets` has saved, each a folder in it."""
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json"}
"""Files that describe a folder of data (LLaMA-Factory, `datasets`): never rows."""


def require_name(name: str) -> None:
    """Refuse an empty name: as a path it would be the current folder, and everything in it.

    Raises:
        InputError: It is.
    """
    if not name.strip():
        raise InputError("No data file was given.", remedy=_KNOWN)


def find_files(name: str, base: Path | None = None, split: str | None = None) -> tuple[Path, ...]:
    """Data files that a name stands for, in sorted order.

    Args:
        name: A file, a folder (every data file below it) or a glob; `~` is expanded.
        base: Where relative names start; the current folder when None.
        split: Which split of a folder that `datasets` has saved; its train split when None.

    Raises:
        InputError: No name, nothing is there, or nothing in it is data.
    """
    require_name(name)
    path = (base or Path()) / expanded(name)
    try:
        if path.is_file():
            return (path,)
        if path.is_dir():
            return _in_folder(_split_of(path, split))
        if has_magic(name):
            return _matching(path, name)
        if path.exists():
            raise InputError(f"{path} is neither a file nor a folder.", remedy="Give a file of rows.")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", remedy=_ACCESS) from error
    raise _missing(path)


def _split_of(folder: Path, split: str | None) -> Path:
    """The folder of one split, where `datasets` has saved several; else the folder itself."""
    try:
        splits = json.loads((folder / _SPLITS).read_text(encoding="utf-8"))["splits"]
    except (OSError, ValueError, KeyError, TypeError):
        return folder
    wanted = split or "train"
    if wanted not in splits:
        raise InputError(
            f"{folder} has no split '{wanted}'. It has: {', '.join(map(str, splits))}.",
            remedy=f"Give the folder of the one that is meant: {folder / str(splits[0])}." if splits else _KNOWN,
        )
    return folder / wanted


def _in_folder(folder: Path) -> tuple[Path, ...]:
    def unreadable(error: OSError) -> None:
        raise error

    found = [
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=unreadable)
        for name in names
        if not name.startswith((".", "cache-")) and name not in _NOT_DATA and format_of(Path(name))
    ]
    if not found:
        raise InputError(f"The folder {folder} holds no data file.", remedy=_KNOWN)
    return tuple(sorted(found))


def _matching(pattern: Path, name: str) -> tuple[Path, ...]:
    # Path.glob takes no absolute pattern; the folder part of this one may hold wildcards too.
    found = sorted(Path(match) for match in glob(str(pattern), recursive=True))  # noqa: PTH207
    usable = tuple(path for path in found if path.is_file() and format_of(path))
    if not usable:
        raise InputError(f"No data file matches {name}.", remedy=_KNOWN)
    return usable


def _missing(path: Path) -> InputError:
    near = nearest(path.name, _siblings(path))
    if near:
        remedy = f"Did you mean {path.parent / near}?"
    else:
        remedy = "Check the path; relative paths start at the configuration file's folder, or where you are."
    return InputError(f"There is no file {path}.", remedy=remedy)


def _siblings(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The most similar of several names, or None when none is near."""
    matches = get_close_matches(name, list(names), n=1, cutoff=0.6)
    return matches[0] if matches else None


_ACCESS = "Check its permissions (ls -l) and that the disk is mounted."
_KNOWN = "Rows are read from .json, .jsonl, .csv, .tsv, .parquet, .arrow and .txt files, also with .gz or .zst behind."
