"""Growing columns of numbers: a run's logged values, in eight bytes a value."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, overload

from recommender.stages import all_figures
from trainer.run.state import number

NOTHING: Final = math.nan
"""Stands in a column where the event said nothing, or something that is no number."""


class Table:
    """Columns of equal length, appended to; nothing that was there is ever changed in place.

    Args:
        names: Of the columns.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._columns = {name: array("d") for name in names}
        self._first = next(iter(self._columns.values()))

    def __len__(self) -> int:
        return len(self._first)

    def extend(self, parts: Iterable[array[float]]) -> None:
        """Lengthen each column, in their order, by as many values as the others."""
        for column, part in zip(self._columns.values(), parts, strict=True):
            column.extend(part)

    def column(self, name: str, start: int = 0, stop: int | None = None) -> array[float]:
        """A part of a column, as a copy."""
        return self._columns[name][start:stop]

    def value(self, name: str, index: int) -> float:
        """One value."""
        return self._columns[name][index]

    def up_to(self, name: str, limit: float) -> Table:
        """Another table with the rows whose value in a rising column is at most the limit."""
        kept = bisect_right(self._columns[name], limit)
        other = Table(self._columns)
        for key, column in self._columns.items():
            other._columns[key].extend(column[:kept])
        return other


@dataclass(frozen=True, slots=True)
class StepPoint:
    """One optimizer step. None where the worker did not say (or said NaN)."""

    step: int
    t: float
    epoch: float | None
    loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    tokens: int | None
    """Tokens so far."""
    tokens_per_second: float | None
    step_seconds: float | None
    memory_bytes: int | None
    finite: bool = True
    """False when the loss was NaN or infinite."""


STEP_NUMBERS: Final = (
    "t",
    "epoch",
    *(figure.key for figure in all_figures()),
    "tokens",
    "tokens_per_second",
    "step_seconds",
    "memory_bytes",
)
DEVICE_NUMBERS: Final = ("t", "utilisation", "temperature", "power_watts", "memory_used", "cpu_percent", "rss_bytes")


def step_table() -> Table:
    """An empty table of steps."""
    return Table(("step", "finite", *STEP_NUMBERS))


def step_columns(events: Sequence[Mapping[str, Any]], steps: Iterable[int]) -> list[array[float]]:
    """Columns of 'step' events, to extend that table.

    Args:
        events: In order.
        steps: Their numbers, rising.
    """
    losses = _figures(events, "loss")
    # Most runs have a number at every step; a NaN or an infinity shows in the sum.
    finite = array("d", [1.0]) * len(events)
    if not math.isfinite(sum(losses)):
        finite = array("d", (event.get("loss") is None or number(event["loss"]) is not None for event in events))
    others = {name: _figures(events, name) for name in STEP_NUMBERS if name != "loss"} | {"loss": losses}
    return [array("d", steps), finite, *(others[name] for name in STEP_NUMBERS)]


def device_table() -> Table:
    """An empty table of device readings; 'at' is the step, and the part of the next one, that they were taken at."""
    return Table(("at", *DEVICE_NUMBERS))


def device_columns(events: Sequence[Mapping[str, Any]], at: Iterable[float]) -> list[array[float]]:
    """Columns of 'device' events, to extend that table."""
    return [array("d", at), *(_figures(events, name) for name in DEVICE_NUMBERS)]


def _figures(events: Sequence[Mapping[str, Any]], name: str) -> array[float]:
    """One figure of many events; events are what others wrote, so that anything may stand there."""
    values = [event.get(name, NOTHING) for event in events]
    try:
        return array("d", values)
    except (TypeError, OverflowError):
        return array("d", (NOTHING if (found := number(value)) is None else found for value in values))


class Steps(Sequence[StepPoint]):
    """The steps of a run at one moment: a view of a table, whose rows become points on access.

    Args:
        table: Of steps; it may grow meanwhile, which is not seen here.
        start: Its first row here.
        stop: The row after the last one here.
    """

    def __init__(self, table: Table, start: int = 0, stop: int | None = None) -> None:
        self._table = table
        self._start = start
        self._stop = len(table) if stop is None else stop

    @classmethod
    def of(cls, points: Iterable[StepPoint]) -> Self:
        """Steps from points."""
        table = step_table()
        for point in points:
            known = {name: getattr(point, name, None) for name in STEP_NUMBERS}
            known["loss"] = point.loss if point.finite else math.nan
            table.extend(step_columns([known], [point.step]))
        return cls(table)

    def __len__(self) -> int:
        return self._stop - self._start

    @overload
    def __getitem__(self, index: int) -> StepPoint: ...
    @overload
    def __getitem__(self, index: slice) -> Steps: ...
    def __getitem__(self, index: int | slice) -> StepPoint | Steps:
        """A step, or some of them without copying anything."""
        if isinstance(index, slice):
            first, last, stride = index.indices(len(self))
            if stride != 1:
                return Steps.of(self[i] for i in range(first, last, stride))
            return Steps(self._table, self._start + first, self._start + max(first, last))
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(index)
        return self._point(self._start + at)

    def __iter__(self) -> Iterator[StepPoint]:
        return map(self._point, range(self._start, self._stop))

    def column(self, name: str, start: int = 0) -> array[float]:
        """One figure of these steps from an index on, NaN where unknown."""
        return self._table.column(name, self._start + start, self._stop)

    def continues(self, before: Steps | None) -> bool:
        """Whether these steps begin with exactly those: the run was not set back in between."""
        return before is None or (
            self._table is before._table and self._start == before._start and self._stop >= before._stop
        )

    def _point(self, row: int) -> StepPoint:
        value = self._table.value
        known = {name: _known(value(name, row)) for name in STEP_NUMBERS}
        return StepPoint(
            step=int(value("step", row)),
            t=known["t"] or 0.0,
            epoch=known["epoch"],
            loss=known["loss"],
            learning_rate=known["learning_rate"],
            grad_norm=known["grad_norm"],
            tokens=_whole(known["tokens"]),
            tokens_per_second=known["tokens_per_second"],
            step_seconds=known["step_seconds"],
            memory_bytes=_whole(known["memory_bytes"]),
            finite=value("finite", row) == 1.0,
        )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


@dataclass(frozen=True, slots=True)
class Readings:
    """The device readings of a run at one moment.

    Attributes:
        table: Of readings; it may grow meanwhile.
        count: How many of its rows belong to this moment.
    """

    table: Table
    count: int

    def column(self, name: str, start: int = 0) -> array[float]:
        """One figure from a reading on, NaN where unknown."""
        return self.table.column(name, start, self.count)

    def continues(self, before: Readings | None) -> bool:
        """Whether these begin with exactly those."""
        return before is None or (self.table is before.table and self.count >= before.count)
