"""What the other processes of a run are doing, for a screen: the end of each one's record."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from trainer.history.tail import last_lines
from trainer.run.folder import RunFolder
from trainer.run.ranks import of_rank
from trainer.run.state import number, whole

LATELY: Final = 20
"""Steps that a rank's speed is taken from."""
LINES: Final = 60
"""Of a record's end: so many hold that many steps, with what stands between them."""


@dataclass(frozen=True, slots=True)
class RankNow:
    """One process of a run of several."""

    rank: int
    forward_seconds: float | None
    """Seconds of a step's forward passes, which wait for nobody under DDP: the middle of the latest steps."""
    memory_bytes: int | None
    """Its peak so far: allocated on a GPU, resident growth on a CPU."""


class RankReader:
    """Reads the ends of all ranks' records, each anew only once it has grown.

    Args:
        folder: The run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._sizes: dict[int, int] = {}
        self._known: dict[int, RankNow] = {}

    def poll(self, world_size: int | None) -> tuple[RankNow, ...]:
        """Return every rank that has done a step, the first one included; none for a run of one process."""
        if world_size is None or world_size < 2:
            return ()
        for rank in range(world_size):
            path = of_rank(self._folder, rank).events
            size = _size(path)
            if size and size != self._sizes.get(rank):
                self._sizes[rank] = size
                if (found := _now(rank, path)) is not None:
                    self._known[rank] = found
        return tuple(self._known[rank] for rank in sorted(self._known) if rank < world_size)


def lagging(ranks: tuple[RankNow, ...]) -> tuple[RankNow, float] | None:
    """Return the slowest rank and how many times the middle one's forward passes its own take; None without figures."""
    known = [(each.forward_seconds, each) for each in ranks if each.forward_seconds]
    if len(known) < 2:
        return None
    slowest, each = max(known, key=lambda pair: pair[0])
    others = median(seconds for seconds, other in known if other is not each)
    return each, slowest / others


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _now(rank: int, path: Path) -> RankNow | None:
    steps: deque[Mapping[str, Any]] = deque(maxlen=LATELY)
    for line in last_lines(path, LINES):
        with suppress(ValueError):
            document = json.loads(line)
            if isinstance(document, dict) and document.get("kind") == "step":
                steps.append(document)
    if not steps:
        return None
    seconds = [value for step in steps if (value := number(step.get("forward_seconds"))) is not None]
    return RankNow(rank, median(seconds) if seconds else None, whole(steps[-1].get("memory_bytes")))
