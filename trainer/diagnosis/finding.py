"""A finding of the diagnosis of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "caution", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of the diagnosis."""

    level: Level
    title: str
    """The finding in one short sentence."""
    evidence: str = ""
    """The figures that it was seen by."""
    change: str = ""
    """The change that would help."""
