"""The tape of one model and recipe, learned from traces of a cut model and checked at one more."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from presets.errors import InputError
from recommender.memory.allocator import block_size
from recommender.memory.learned.monomials import quantities
from recommender.memory.learned.tape import MomentForm, Regime, Tape, Terms, variant
from recommender.memory.learned.tape import Pass as PassForms
from trainer.learn.cut import Cut, cut_of, keep
from trainer.learn.fit import Basis, Form
from trainer.learn.points import CHECKED, LOOPED, SHAPES, basis_of, bounds_of, looped_points, points_between
from trainer.learn.record import Pass, Point, record
from trainer.learn.walk import Learned, NotFitted, Walk
from trainer.trace.model import build_base
from trainer.trace.order import Order

WRONG = 0.01
"""Largest error, as a share, at the point that a formula is checked at."""
Tell = Callable[[str, int, int], None]
"""Told the phase, and the traces done and expected."""


class NotLearnable(InputError):
    """A model whose formula cannot be learned, or does not hold: the trace answers instead."""


@dataclass
class Learner:
    """Learns one recipe of one model.

    Args:
        order: The recipe, at any sizes.
        tell: Told of each trace.
    """

    order: Order
    tell: Tell

    def __post_init__(self) -> None:
        self.tell("building", 0, 1)
        self._build(counted=True)
        self.done = 0
        """Traces so far."""
        self._recorded: dict[Point, Pass] = {}
        self._looped: bool | None = None
        self.errors: list[float] = []
        self.sums: set[str] = set()

    def _build(self, *, counted: bool) -> None:
        whole = build_base(self.order)
        self.cut = cut_of(whole)
        self.deeper = self.cut.deeper or self.cut
        self.config = whole.config.get_text_config(decoder=True)
        keep(whole, self.deeper.kept, counted=counted)
        self._deep = whole
        self._base = copy.deepcopy(whole)
        if self.deeper.kept != self.cut.kept:
            keep(self._base, tuple(self.deeper.kept.index(index) for index in self.cut.kept), counted=counted)

    def learn(self) -> Tape:
        """The tape.

        Raises:
            NotLearnable: No formula was found, or it does not hold at the point where it is checked.
        """
        try:
            regimes = self._regimes()
        except NotFitted as problem:
            raise NotLearnable(
                f"The memory of {type(self._base).__name__} is no combination of its sizes ({problem}).",
                remedy="A trace of the whole model answers instead.",
            ) from problem
        return Tape(tuple(regimes), max(self.errors), tuple(sorted(self.sums)))

    def _regimes(self) -> list[Regime]:
        one_row_only = self.order.packed
        found: list[Regime] = []
        many: Walk | None = None
        if not one_row_only:
            many, found = self._rows(one_row=False, known=None)
        _, single = self._rows(one_row=True, known=many)
        return [*found, *single]

    def _rows(self, *, one_row: bool, known: Walk | None) -> tuple[Walk, list[Regime]]:
        """Regimes of one kind of rows, by length; the formula without an upper bound first looked for.

        Args:
            one_row: Whether rows are one.
            known: A formula that may serve here too.
        """
        bounds = bounds_of(self.config)
        top = bounds[-1] if bounds else 0
        points = points_between(top, None, one_row=one_row)
        if known is not None and self._serves(known, points[0], one_row=one_row):
            long = known
        else:
            long = self._walk(points, one_row=one_row, known=known)
        if known is None or long.irregular:
            self._check(long, one_row=one_row)
        found = [self._regime(long, one_row=one_row, up_to=None)]
        if self._looped:
            return long, found
        for high, low in zip(reversed(bounds), (*reversed(bounds[:-1]), 0), strict=False):
            points = points_between(low, high, one_row=one_row)
            # The second is below a tile of the loss, which no point beyond a window of as many tokens is.
            if self._serves(long, points[1], one_row=one_row):
                continue
            short = self._walk(points, one_row=one_row, known=long)
            found.insert(0, self._regime(short, one_row=one_row, up_to=high))
        return long, found

    def _walk(self, points: Sequence[Point], *, one_row: bool, known: Walk | None) -> Walk:
        """The formula from traces at these points, or at many short ones where a class loops over a row.

        Two points are enough beside a known formula, whose forms nearly all storages have again.
        """
        if self._looped is None:
            passes = [self._record(point) for point in points[:2]]
            self._looped = len({sum(len(x.events) for x in each.stretches) for each in passes}) > 1
        if not self._looped:
            for count in (2, 3) if known is not None and not known.irregular else (3,):
                try:
                    passes = [self._record(point) for point in points[:count]]
                    return self._fitted(passes, one_row=one_row, known=known)
                except NotFitted:
                    continue
            # Operations that come and go with the length, though as many of them.
            self._looped = True
        passes = [self._record(point) for point in looped_points(one_row=one_row)]
        return self._fitted(passes, one_row=one_row, known=known, sums=True)

    def _fitted(self, passes: Sequence[Pass], *, one_row: bool, known: Walk | None, sums: bool = False) -> Walk:
        basis = self._basis(passes, one_row=one_row)
        if known is not None:
            basis.know(known.basis, known.exact.values())
        walk = Walk(self.cut, passes, basis, rounds=not self.order.on_cpu)
        if known is not None and walk.irregular and not sums:
            raise NotFitted(walk.segments[walk.regular.index(False)])
        walk.play(accumulates=False)
        self.sums.update(walk.irregular)
        return walk

    def _basis(self, passes: Sequence[Pass], *, one_row: bool) -> Basis:
        chunks = max(1, -(-self.config.vocab_size // self.config.hidden_size))
        full = self.order.finetune.method == "full"
        names = basis_of(self.order.loss, one_row=one_row, full=full, chunks=chunks)
        return Basis(names, [each.point for each in passes])

    def _serves(self, walk: Walk, point: Point, *, one_row: bool) -> bool:
        """Whether a formula holds at one more point: operation by operation, or in all where it has sums."""
        if self._looped:
            point = Point(1 if one_row else LOOPED[0][0], LOOPED[0][1] + 84, LOOPED[0][2])
        one = self._record(point)
        if walk.irregular:
            return abs(_predicted(walk, one) / _peak(one, rounds=not self.order.on_cpu) - 1) < WRONG / 10
        amounts = np.array([each(*point) for each in quantities(walk.basis.names)], dtype=float)
        for here, there in zip(one.stretches, walk.passes[0].stretches, strict=False):
            if here != there:
                return False
        return len(one.stretches) == len(walk.segments) and all(
            abs(float(walk.exact[storage] @ amounts) - size) < 1 for storage, size in one.sizes.items()
        )

    def _check(self, walk: Walk, *, one_row: bool) -> None:
        """Hold a formula against a deeper model at other sizes.

        Raises:
            NotLearnable: It is wrong by more than `WRONG`.
        """
        rows, length, rank = CHECKED
        bounds = bounds_of(self.config)
        length = LOOPED[1][1] + 50 if self._looped else length + (bounds[-1] if bounds else 0)
        point = Point(1 if one_row else rows, length, rank)
        truth = self._record(point, self._deep)
        places = {index: place for place, index in enumerate(self.cut.kept)}
        whole = self.cut.sequence
        sequence = tuple(places.get(index, whole[index]) for index in self.deeper.kept)
        deep = Walk(Cut(self.cut.kept, sequence), walk.passes, walk.basis, rounds=not self.order.on_cpu)
        error = _predicted(deep, truth) / _peak(truth, rounds=not self.order.on_cpu) - 1
        self.errors.append(abs(error))
        if abs(error) > WRONG:
            raise NotLearnable(
                f"The formula learned for {type(self._base).__name__} is {error:+.1%} off at {rows} × {length} tokens.",
                remedy="A trace of the whole model answers instead.",
            )

    def _record(self, point: Point, base: Any = None) -> Pass:
        if base is None and point in self._recorded:
            return self._recorded[point]
        self.done += 1
        self.tell("traces", self.done, max(self.done, 2 * len(SHAPES) + 1))
        try:
            found = record(self._base if base is None else base, order_at(self.order, point))
        except (RuntimeError, IndexError):
            if self.done > 1:
                raise
            # A module outside of the layers has a dimension for each of them.
            self._build(counted=False)
            found = record(self._base, order_at(self.order, point))
        if base is None:
            self._recorded[point] = found
        return found

    def _regime(self, walk: Walk, *, one_row: bool, up_to: int | None) -> Regime:
        offloads = (False, True) if self.order.finetune.training.gradient_checkpointing else (False,)
        played = {
            variant(accumulates=accumulates, offloads=off): walk.play(accumulates=accumulates, offloads=off)
            for accumulates in (False, True)
            for off in offloads
        }
        used = sorted({index for each in played.values() for index in _used(each)})
        basis = tuple(walk.basis.names[index] for index in used)
        return Regime(one_row, up_to, basis, {name: _forms(each, used) for name, each in played.items()})


def order_at(order: Order, point: Point) -> Order:
    """The order of one micro-batch of other sizes, without accumulation.

    The scaling of an adapter is never 1: PEFT leaves a product out where it is.
    """
    config = copy.deepcopy(order.config)
    config["lora"]["r"] = point.rank
    config["lora"]["lora_alpha"] = 2 * point.rank
    config["training"] |= {"gradient_accumulation_steps": 1, "per_device_train_batch_size": point.rows}
    masks = order.loss == "fused" and order.finetune.training.attn_implementation == "sdpa"
    return replace(
        order,
        config=config,
        rows=point.rows,
        length=point.length,
        masked=masks and (order.packed or point.rows > 1),
        trained_tokens=max(1, point.rows * (point.length - 1)),
    )


def _predicted(walk: Walk, one: Pass) -> float:
    amounts = np.array([each(*one.point) for each in quantities(walk.basis.names)], dtype=float)
    return max(float(row.level.sum(axis=0) @ amounts) for row in walk.play(accumulates=False).rows)


def _peak(one: Pass, *, rounds: bool) -> int:
    """The highest level of a recorded pass, bytes of blocks."""
    level = most = 0
    for stretch in one.stretches:
        for birth, storage in stretch.events:
            size = block_size(one.sizes[storage]) if rounds else one.sizes[storage]
            level += size if birth else -size
            most = max(most, level)
    return most


def _used(one: Learned) -> set[int]:
    forms = [*(row.level for row in one.rows), *one.loss, *one.layer, *one.forward, one.kept, one.carried]
    return {int(index) for form in forms for index in np.nonzero(form)[-1]}


def _forms(one: Learned, used: Sequence[int]) -> PassForms:
    def terms(form: Form) -> Terms:
        return tuple((place, float(form[index])) for place, index in enumerate(used) if form[index])

    return PassForms(
        tuple(MomentForm(row.phase, row.layer, *(terms(form) for form in row.level)) for row in one.rows),
        tuple(map(terms, one.loss)),
        tuple(map(terms, one.layer)),
        tuple(map(terms, one.forward)),
        terms(one.kept),
        terms(one.carried),
    )
