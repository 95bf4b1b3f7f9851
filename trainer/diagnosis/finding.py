"""A finding of the diagnosis of a run, and the rule that makes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from trainer.history.reader import Snapshot

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


Rule = Callable[["Snapshot"], "Finding | None"]
"""Returns what it found in a run at one moment, or None; it looks at nothing else."""
