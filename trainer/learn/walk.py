"""The levels of a whole pass, as forms, from the segments of a cut one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.memory.allocator import SMALLEST_BLOCK, round_up
from recommender.memory.learned.monomials import quantities
from trainer.learn.cut import Cut
from trainer.learn.fit import CLOSE, Basis, Form
from trainer.learn.record import Pass, Segment, Storage

CATEGORIES = ("activations", "loss", "gradients")
Counts = NDArray[np.int64]
Level = NDArray[np.float64]
"""Bytes of each category as a form: (categories, quantities)."""
GRID_LENGTHS = tuple(2**power for power in range(4, 21))
GRID_ROWS, GRID_RANKS = (1, 2, 3, 4, 8, 32, 256), (1, 8, 32, 128, 1024)


class Row(NamedTuple):
    """A moment of a pass that may be its worst."""

    phase: str
    """'forward', 'loss', or 'backward'."""
    layer: int
    """Of the whole model; -1 outside."""
    level: Level


@dataclass(slots=True)
class Learned:
    """The forms of a whole pass."""

    rows: list[Row]
    left: Level
    """What is there after the pass: gradients."""
    loss: list[Form]
    """Candidates for the most that the loss holds beside what the layers keep."""
    layer: list[Form]
    """Candidates for the most that a layer's backward pass holds beside what was there."""
    forward: list[Form]
    """Candidates for the most that a layer's forward pass takes."""
    kept: Form
    """What all layers' forward passes leave."""
    carried: Form
    """Of it, what can be held in host memory: all but the last two layers' part."""


@dataclass(slots=True)
class Played:
    """A segment played from nothing."""

    rows: list[Level]
    net: Level


class Walk:
    """Plays the segments of a cut in the order of the whole model.

    Args:
        cut: What stands for what.
        passes: Of the cut, at the points of the basis.
        basis: Of all sizes.
        rounds: Whether blocks are rounded up as PyTorch's CUDA allocator does.
    """

    def __init__(self, cut: Cut, passes: Sequence[Pass], basis: Basis, *, rounds: bool) -> None:
        self.cut, self.passes, self.basis, self._rounds = cut, passes, basis, rounds
        self.segments = [stretch.segment for stretch in passes[0].stretches]
        self._place = {segment: at for at, segment in enumerate(self.segments)}
        self._counts = [cut.count(place) for place in range(len(cut.kept))]
        self._grid = _grid(basis)
        self._scale = float(min(_most(each) for each in passes))
        self.exact = self._all_forms()
        self.forms = {storage: self._rounded(form) for storage, form in self.exact.items()}
        self.regular = [self._is_regular(at) for at in range(len(self.segments))]

    @property
    def irregular(self) -> list[str]:
        """Segments whose storages differ from point to point: their levels are fitted as sums."""
        pairs = zip(self.segments, self.regular, strict=True)
        return [f"{one.name} {one.layer}" if one.layer >= 0 else one.name for one, fine in pairs if not fine]

    def play(self, *, accumulates: bool, offloads: bool = False) -> Learned:
        """Forms of a whole pass.

        Args:
            accumulates: Whether gradients of an earlier micro-batch take these up: each lives for a moment only.
            offloads: Whether what layers keep goes to host memory, but the last two's.
        """
        return _Playing(self, accumulates, offloads).run()

    def _all_forms(self) -> dict[Storage, Form]:
        """Forms of the storages that all points have, where one fits."""
        found = {}
        for at in range(len(self.segments)):
            born = [[one for birth, one in each.stretches[at].events if birth] for each in self.passes]
            if len({len(one) for one in born}) > 1:
                continue
            for storage in born[0]:
                if len({each.categories[storage] for each in self.passes}) > 1:
                    continue
                form = self.basis.exact(tuple(each.sizes[storage] for each in self.passes))
                if form is not None:
                    found[storage] = form
        return found

    def _rounded(self, form: Form) -> Form:
        if self._rounds and not np.any(form[1:]) and form[0] > 0:
            return np.array([round_up(int(form[0]), SMALLEST_BLOCK), *form[1:]])
        return form

    def _is_regular(self, at: int) -> bool:
        events = self.passes[0].stretches[at].events
        same = all(each.stretches[at].events == events for each in self.passes[1:])
        return same and all(storage in self.forms for _, storage in events)

    def weight(self, at: int, source: int, *, last: bool) -> int:
        """How often the death, in one segment, of a storage of another stands in the whole model.

        Args:
            at: The segment.
            source: The segment of the birth.
            last: Whether this is the last of the layers that the segment stands for, as they are passed.
        """
        if at == source:
            return 1
        here, there = self.segments[at], self.segments[source]
        if there.layer < 0:
            return 1 if here.layer < 0 or last else 0
        if here.layer < 0:
            return self._counts[there.layer]
        if here.layer - there.layer in (0, 1) or here.name == there.name:
            # Its own; the output of the layer before, which is its input; or handed on within the pass.
            return 1
        return self._counts[there.layer] if self._counts[here.layer] == 1 else 1

    def played(self, at: int, *, last: bool, accumulates: bool) -> Played:
        """A segment's levels from nothing."""
        if self.regular[at]:
            return self._from_forms(at, last=last, accumulates=accumulates)
        return self._from_sums(at, last=last, accumulates=accumulates)

    def _from_forms(self, at: int, *, last: bool, accumulates: bool) -> Played:
        first = self.passes[0]
        level, rows = self.zero(), []
        ends: tuple[int, Form] | None = None
        for birth, storage in first.stretches[at].events:
            category, form = _category(first.categories[storage]), self.forms[storage]
            if ends is not None:
                level[ends[0]] -= ends[1]
                ends = None
            if birth:
                level[category] += form
                rows.append(level.copy())
                if accumulates and CATEGORIES[category] == "gradients":
                    ends = category, form
            else:
                level[category] -= self.weight(at, storage.segment, last=last) * form
        if ends is not None:
            level[ends[0]] -= ends[1]
        return Played(self.pruned(rows), level)

    def _from_sums(self, at: int, *, last: bool, accumulates: bool) -> Played:
        """From each point's own levels, fitted as sums.

        A loop over chunks of a row makes more moments of a longer row: `_worst_places` says which are the same.

        Raises:
            NotFitted: They are no combination of the quantities.
        """
        levels, nets = [], []
        for each in self.passes:
            found, net = self._summed(each, at, last=last, accumulates=accumulates)
            levels.append(found)
            nets.append(net)
        rows, most = [], [int(found.sum(axis=1).max(initial=0)) for found in levels]
        reached = [0.0] * len(levels)
        for places in _worst_places(levels):
            moments = [found[index] for found, index in zip(levels, places, strict=True)]
            row = self._form(moments)
            if row is not None:
                rows.append(row)
                reached = [max(one, float(moment.sum())) for one, moment in zip(reached, moments, strict=True)]
        if any(one - there > CLOSE * self._scale for one, there in zip(most, reached, strict=True)):
            raise NotFitted(self.segments[at])
        net_form = self._form(nets)
        if net_form is None:
            raise NotFitted(self.segments[at])
        return Played(self.pruned(rows), net_form)

    def _summed(self, one: Pass, at: int, *, last: bool, accumulates: bool) -> tuple[Counts, Counts]:
        """The levels after each birth, (births, categories), and the last level of a segment of one pass."""
        level = np.zeros(len(CATEGORIES), dtype=np.int64)
        found = []
        ends: tuple[int, int] | None = None
        for birth, storage in one.stretches[at].events:
            category, size = _category(one.categories[storage]), one.sizes[storage]
            if ends is not None:
                level[ends[0]] -= ends[1]
                ends = None
            if birth:
                level[category] += size
                found.append(level.copy())
                if accumulates and CATEGORIES[category] == "gradients":
                    ends = category, size
            else:
                level[category] -= self.weight(at, storage.segment, last=last) * size
        if ends is not None:
            level[ends[0]] -= ends[1]
        return np.stack(found) if found else np.zeros((0, len(CATEGORIES)), dtype=np.int64), level

    def _form(self, levels: Sequence[Counts]) -> Level | None:
        """The form of a level whose bytes at each point are given, by category; None where nothing fits."""
        found = self.zero()
        for category in range(len(CATEGORIES)):
            form = self.basis.close(tuple(int(level[category]) for level in levels), self._scale)
            if form is None:
                return None
            found[category] = form
        return found

    def zero(self) -> Level:
        """Nothing."""
        return np.zeros((len(CATEGORIES), len(self.basis.names)))

    def pruned(self, rows: Sequence[Level]) -> list[Level]:
        """The levels that are the largest somewhere."""
        if not rows:
            return []
        values = np.stack([level.sum(axis=0) for level in rows]) @ self._grid
        return [rows[index] for index in sorted(set(values.argmax(axis=0).tolist()))]

    def place(self, name: str, layer: int = -1) -> int:
        """The number of a segment.

        Raises:
            KeyError: It has not come.
        """
        return self._place[Segment(name, layer)]

    def has(self, name: str, layer: int = -1) -> bool:
        """Whether a segment has come."""
        return Segment(name, layer) in self._place


def _worst_places(levels: Sequence[Counts]) -> list[tuple[int, ...]]:
    """Where to look for the worst of a segment: for each candidate the number of a birth at every point.

    Each point's own worst, at the same distance from the begin and from the end; and, between two points of which one
    has more births, in proportion: behind so many rounds of one loop and before those of another.
    """
    counts = [len(each) for each in levels]
    worst = [int(each.sum(axis=1).argmax()) if len(each) else 0 for each in levels]
    found: dict[tuple[int, ...], None] = {}
    for one, other in product(range(len(levels)), repeat=2):
        slopes = [Fraction(0), Fraction(1)]
        if counts[one] != counts[other]:
            slopes = [Fraction(worst[other] - worst[one], counts[other] - counts[one])]
        for slope in slopes:
            places = [worst[one] + slope * (count - counts[one]) for count in counts]
            if all(p.denominator == 1 and 0 <= p < count for p, count in zip(places, counts, strict=True)):
                found[tuple(int(p) for p in places)] = None
    return list(found)


class NotFitted(Exception):
    """The levels of a segment are no combination of the quantities."""

    def __init__(self, segment: Segment) -> None:
        where = f" of layer {segment.layer}" if segment.layer >= 0 else ""
        super().__init__(f"{segment.name}{where}")


def _most(one: Pass) -> int:
    """The highest level of a pass."""
    level = most = 0
    for stretch in one.stretches:
        for birth, storage in stretch.events:
            level += one.sizes[storage] if birth else -one.sizes[storage]
            most = max(most, level)
    return most


def _category(name: str) -> int:
    return CATEGORIES.index(name) if name in CATEGORIES else 0


def _grid(basis: Basis) -> NDArray[np.float64]:
    """Quantities at the sizes among which the worst moments are looked for: (quantities, sizes)."""
    rows = (1,) if all(point[0] == 1 for point in basis.points) else GRID_ROWS
    lengths = sorted({*GRID_LENGTHS, *(3 * length // 2 for length in GRID_LENGTHS)})
    sizes = [(b, length, r) for b in rows for length in lengths for r in GRID_RANKS]
    return np.array([[each(*size) for size in sizes] for each in quantities(basis.names)], dtype=float)


@dataclass(slots=True)
class _Playing:
    """One walk through the whole model."""

    walk: Walk
    accumulates: bool
    offloads: bool
    level: Level = field(init=False)
    rows: list[Row] = field(default_factory=list)
    layer: list[Level] = field(default_factory=list)
    forward: list[Level] = field(default_factory=list)
    _cache: dict[tuple[int, bool], Played] = field(default_factory=dict)

    def run(self) -> Learned:
        """The forms of the whole pass."""
        walk, cut = self.walk, self.walk.cut
        self.level = walk.zero()
        self._segment("prologue", -1, "forward")
        kept = [self._layer("forward", index) for index in range(len(cut.sequence))]
        before = self.level.copy()
        at_loss = len(self.rows)
        self._segment("loss forward", -1, "loss")
        self._segment("loss backward", -1, "loss")
        loss = [row.level - before for row in self.rows[at_loss:]]
        for index in reversed(range(len(cut.sequence))):
            self._layer("backward", index)
        self._segment("epilogue", -1, "backward")
        total = sum((one[0] for one in kept), walk.basis.zero())
        carried = sum((one[0] for one in kept[:-2]), walk.basis.zero())
        rows = self._offloaded(kept) if self.offloads else self.rows
        return Learned(
            _worst(walk, rows),
            self.level,
            _totals(walk.pruned(loss)),
            _totals(walk.pruned(self.layer)),
            _totals(walk.pruned(self.forward)),
            total,
            carried,
        )

    def _layer(self, name: str, index: int) -> Level:
        """Play a layer's pass; return what it leaves."""
        walk, cut = self.walk, self.walk.cut
        place = cut.sequence[index]
        alike = [at for at, one in enumerate(cut.sequence) if one == place]
        last = index == (alike[-1] if name == "forward" else alike[0])
        if not walk.has(name, place):
            return walk.zero()
        found = self._played(walk.place(name, place), last)
        self._add(found, name, index)
        into = self.layer if name == "backward" else self.forward
        into.extend(found.rows)
        return found.net

    def _segment(self, name: str, index: int, phase: str) -> None:
        if self.walk.has(name):
            self._add(self._played(self.walk.place(name), True), phase, index)

    def _played(self, at: int, last: bool) -> Played:
        if (at, last) not in self._cache:
            self._cache[at, last] = self.walk.played(at, last=last, accumulates=self.accumulates)
        return self._cache[at, last]

    def _add(self, found: Played, phase: str, index: int) -> None:
        self.rows += [Row(phase, index, self.level + row) for row in found.rows]
        self.level = self.level + found.net

    def _offloaded(self, kept: Sequence[Level]) -> list[Row]:
        """The rows without what is in host memory: the inputs of all layers but the two that are on their way."""
        zero = self.walk.zero()
        sums = [zero]
        for one in kept:
            sums.append(sums[-1] + np.stack([one[0], zero[0], zero[0]]))
        moved = []
        for row in self.rows:
            alive = len(kept) if row.phase == "loss" else row.layer + (row.phase == "backward") if row.layer >= 0 else 0
            moved.append(row._replace(level=row.level - sums[max(0, alive - 2)]))
        return moved


def _totals(levels: Iterable[Level]) -> list[Form]:
    return [level.sum(axis=0) for level in levels]


def _worst(walk: Walk, rows: Sequence[Row]) -> list[Row]:
    """Of each phase the rows that are the worst somewhere."""
    found: list[Row] = []
    for phase in ("forward", "loss", "backward"):
        own = [row for row in rows if row.phase == phase]
        kept = {id(level) for level in walk.pruned([row.level for row in own])}
        found += [row for row in own if id(row.level) in kept]
    return found
