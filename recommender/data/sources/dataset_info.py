"""LLaMA-Factory's dataset_info.json, an index of data sets by name, with their files and formats.

The keys are those of LLaMA-Factory's data/README.md: file_name, formatting, ranking, columns and tags, with its
defaults for what an entry leaves out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.data.formats.role_names import RoleMapping
from recommender.data.sources.files import nearest
from recommender.paths import expanded

INDEX = "dataset_info.json"
_ALPACA = {"prompt": "instruction", "query": "input", "response": "output", "history": "history", "system": "system"}
_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
"""LLaMA-Factory's defaults."""
_SPEAKERS = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}


ASKED = frozenset({"preference", "kto"})
"""Formats that an index alone does not decide: half of such rows is not to be learnt, so the person says so."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One data set of an index."""

    name: str
    path: Path
    """File or folder of rows."""
    format: str
    """As `data.format`; 'auto' where the entry leaves it to the columns."""
    columns: Mapping[str, str]
    """Role to column, where the entry names them."""
    role_mapping: RoleMapping | None = None
    """Turn keys and role names, where the entry is of conversations."""


def find_entry(name: str, base: Path | None = None) -> Entry | None:
    """The entry that FOLDER/NAME stands for, where the folder has an index and no file of that name.

    Raises:
        InputError: The index is broken, or its entry has no file here.
    """
    path = (base or Path()) / expanded(name)
    index = path.parent / INDEX
    if path.exists() or path.suffix or not index.is_file():
        return None
    entries = _read(index)
    if path.name not in entries:
        near = nearest(path.name, entries)
        raise InputError(
            f"{index} names no data set '{path.name}'.",
            remedy=f"Did you mean {path.parent / near}?" if near else _offer(index, entries),
        )
    return _entry(path.name, entries[path.name], index)


def entry_for(path: Path) -> Path | None:
    """The FOLDER/NAME of a file's entry in the index beside it; None where that would not help."""
    index = path.parent / INDEX
    try:
        entries = _read(index) if index.is_file() else {}
        named = (_entry(name, held, index) for name, held in entries.items() if _is_of(held, path))
        return next((path.parent / entry.name for entry in named if entry.format not in ASKED), None)
    except InputError:
        return None


def _is_of(held: Any, path: Path) -> bool:
    return isinstance(held, Mapping) and held.get("file_name") == path.name


def explain_index(path: Path) -> InputError:
    """The error for an index that was given as if it were rows, with the data sets it names."""
    return InputError(f"{path} is an index of data sets, not rows.", remedy=_offer(path, _read(path)))


def _offer(index: Path, entries: Mapping[str, Any]) -> str:
    here = [
        name
        for name, entry in entries.items()
        if isinstance(entry, Mapping) and (index.parent / str(entry.get("file_name", "\0nothing"))).exists()
    ]
    if not here:
        return "None of the files that it names is beside it: give a file of rows."
    return f"Name one of its data sets whose file is here: {', '.join(str(index.parent / name) for name in here[:8])}."


def _read(index: Path) -> dict[str, Any]:
    try:
        entries = json.loads(index.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{index} cannot be read as JSON.", remedy="Repair it, or give the data file itself.", detail=str(error)
        ) from error
    if not isinstance(entries, dict):
        raise InputError(f"{index} is no index of data sets.", remedy="Give the data file itself.")
    return entries


def _entry(name: str, held: Any, index: Path) -> Entry:
    if not isinstance(held, Mapping):
        raise InputError(f"{index}: '{name}' is not an object.", remedy="Repair it, or give the data file itself.")
    file = held.get("file_name")
    if not isinstance(file, str):
        where = held.get("hf_hub_url")
        fetch = f"hf download --repo-type dataset {where} --local-dir {name}" if isinstance(where, str) else ""
        raise InputError(
            f"'{name}' of {index} is not a file on this disk.",
            remedy=f"Fetch it and give its folder: {fetch}" if fetch else "Give the data file itself.",
        )
    columns = _texts(held.get("columns"), index, name)
    tags = _texts(held.get("tags"), index, name)
    form, roles = _roles(str(held.get("formatting", "alpaca")), bool(held.get("ranking")), columns)
    return Entry(name, index.parent / file, form, roles, _tags(tags) if form in {"sharegpt", "kto"} else None)


def _texts(value: Any, index: Path, name: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(held, str) for held in value.values()):
        raise InputError(f"{index}: columns and tags of '{name}' must be names.", remedy="Repair that entry.")
    return {str(key): held for key, held in value.items()}


def _roles(formatting: str, ranking: bool, columns: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """`data.format` and `data.columns` of an entry."""
    kept = {role: columns[role] for role in ("system", "tools") if role in columns}
    if ranking:
        prompt = columns.get("messages", columns.get("prompt"))
        return "preference", {**({"prompt": prompt} if prompt else {}), "chosen": columns.get("chosen", "chosen")}
    if "kto_tag" in columns:
        return "kto", {"label": columns["kto_tag"]}
    if formatting == "sharegpt":
        return "sharegpt", {"conversations": columns.get("messages", "conversations"), **kept}
    if set(columns) == {"prompt"}:
        return "text", {"text": columns["prompt"]}
    named = {_ALPACA[role]: column for role, column in columns.items() if role in _ALPACA}
    return ("alpaca", named) if columns else ("auto", {})


def _tags(tags: Mapping[str, str]) -> RoleMapping:
    used = {**_TAGS, **tags}
    speakers = tuple((used[tag], role) for tag, role in _SPEAKERS.items())
    return RoleMapping(used["role_tag"], used["content_tag"], speakers)
