"""Parsing of the paths of `data`: a file with its format, or a data set of the hub."""

from __future__ import annotations

import re
from pathlib import Path

FORMATS = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "text",
}
COMPRESSED = (".gz", ".zst")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.-]*){0,2}")


def names_hub_dataset(name: str, base: Path | None = None) -> bool:
    """Whether a name can only be the id of a data set on the hub (ORG/NAME, with :CONFIGURATION:SPLIT or without).

    It has the form of one, and neither a file nor a folder that it could be in is here.
    """
    path = (base or Path()) / name
    return bool(_HUB_ID.fullmatch(name)) and format_of(path) is None and not path.parent.exists()


def format_of(path: Path) -> str | None:
    """Reader for a file by its suffix, looking through .gz and .zst; None when no reader knows it."""
    name = path.name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return FORMATS.get(Path(name).suffix)
