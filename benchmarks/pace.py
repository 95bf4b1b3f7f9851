"""The pace at which this machine runs Python: fixed work, timed in the same run as what a benchmark measures.

Machines differ by a factor of two, and one machine from hour to hour as much. A limit in seconds says more of the
machine than of the program; a limit in multiples of this work holds on each. The work is what planning is made of:
attributes of small objects, calls, numbers, tuples, dictionaries. It must never change: all ratios stand on it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

ROUNDS = 15_000


@dataclass(slots=True)
class Piece:
    """An object of the reference work."""

    size: int
    share: float

    def grown(self, by: int) -> float:
        """Return a number that depends on both attributes."""
        return (self.size + by) * self.share


def reference_work() -> float:
    """Do the reference work once: some milliseconds."""
    pieces = [Piece(size, 1.0 / (size + 1)) for size in range(16)]
    found: dict[tuple[int, int], float] = {}
    total = 0.0
    for turn in range(ROUNDS):
        piece = pieces[turn % 16]
        key = (piece.size, turn % 7)
        value = max(piece.grown(turn), 1.0)
        found[key] = found.get(key, 0.0) + value
        if value > 3.0:
            total += min(value, found[key]) * piece.share
        else:
            total -= 0.5
    return total + sum(found.values())


@dataclass
class Pace:
    """Seconds of the reference work, sampled between what is measured.

    Attributes:
        clock: Seconds; processor time by default, which other programs on the machine lengthen least.
        samples: Seconds that the work took, each time.
    """

    clock: Callable[[], float] = time.process_time
    samples: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        # The interpreter specialises what it runs often.
        for _ in range(3):
            reference_work()

    def sample(self, times: int = 1) -> None:
        """Time the reference work now; call it all through a measurement, not only before."""
        for _ in range(times):
            began = self.clock()
            reference_work()
            self.samples.append(self.clock() - began)

    @property
    def seconds(self) -> float:
        """Median time of the reference work."""
        return statistics.median(self.samples)

    def judge(self, what: str, seconds: float, limit: float) -> bool:
        """Print a time, the reference, their ratio and its limit; return whether it holds."""
        ratio = seconds / self.seconds
        held = ratio <= limit
        print(
            f"{what}: {seconds * 1000:.3g} ms, reference {self.seconds * 1000:.3g} ms, "
            f"ratio {ratio:.3g} (limit {limit:g}{'' if held else ', missed'})"
        )
        return held
