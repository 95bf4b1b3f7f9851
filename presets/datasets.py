"""Well-known data sets of the hub, from datasets.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from presets.yaml_file import read_yaml

FILE = Path(__file__).with_name("datasets.yaml")


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A data set that is offered by name."""

    title: str
    path: str
    """Hub id."""
    rows: int
    """About how many."""
    language: str
    licence: str
    about: str
    name: str | None = None
    """Configuration."""
    split: str = "train"
    columns: Mapping[str, str] = field(default_factory=dict)
    """Role to column, where recognition would have to ask."""

    @property
    def source(self) -> dict[str, Any]:
        """As `data.train` takes it."""
        held = {"path": self.path, "name": self.name, "split": self.split, "columns": dict(self.columns) or None}
        return {key: value for key, value in held.items() if value is not None}


@cache
def load_datasets() -> tuple[KnownDataset, ...]:
    """All of them, in the order in which they are offered."""
    return tuple(KnownDataset(**entry) for entry in read_yaml(FILE))
