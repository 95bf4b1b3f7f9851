"""A learned formula: the moments of a step that may be its worst, as linear forms of a micro-batch's quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from recommender.memory.learned.monomials import Quantity, quantities

FORMAT = 1
"""Of the documents: one of another format is learned again."""
Terms = tuple[tuple[int, float], ...]
"""A form: number of a quantity, and bytes of one of it."""


class MomentForm(NamedTuple):
    """A moment of a step beside what is resident."""

    phase: str
    """'forward', 'loss', or 'backward'."""
    layer: int
    """Of the whole model, from 0; -1 outside of the layers."""
    activations: Terms
    loss: Terms
    gradients: Terms
    """Of this micro-batch."""


@dataclass(frozen=True)
class Pass:
    """A forward and backward pass of one way to train."""

    moments: tuple[MomentForm, ...]
    loss: tuple[Terms, ...]
    """The most of these is what the loss holds beside what the layers keep."""
    layer: tuple[Terms, ...]
    """The most that one layer's backward pass holds beside what was there."""
    forward: tuple[Terms, ...]
    """The most that one layer's forward pass takes."""
    kept: Terms
    """What the forward passes of all layers leave."""
    carried: Terms
    """Of it, what can be on the host: all layers' but the last two's."""

    @cached_property
    def totals(self) -> tuple[Terms, ...]:
        """Bytes of each moment in all."""
        return tuple(_added(one.activations, one.loss, one.gradients) for one in self.moments)


@dataclass(frozen=True)
class Regime:
    """The formula for some micro-batches: of one row, or of rows up to a length."""

    one_row: bool
    up_to: int | None
    """Longest length; None: no limit."""
    basis: tuple[str, ...]
    passes: Mapping[str, Pass]
    """By `variant`."""

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        """The functions of the basis."""
        return quantities(self.basis)


@dataclass(frozen=True)
class Tape:
    """All that was learned of one model and recipe."""

    regimes: tuple[Regime, ...]
    """Of one kind of rows the shortest first."""
    error: float
    """Of the formula, as a share, at a small trace that it was not fitted to."""
    sums: tuple[str, ...]
    """Segments that are fitted as sums, not storage by storage."""

    def regime(self, rows: int, length: int) -> Regime | None:
        """The formula for so many rows of a length; None where that was not learned."""
        one = rows == 1
        return next((x for x in self.regimes if x.one_row == one and (x.up_to is None or length <= x.up_to)), None)

    def document(self) -> dict[str, Any]:
        """The tape as JSON."""
        return {
            "format": FORMAT,
            "error": self.error,
            "sums": list(self.sums),
            "regimes": [
                {
                    "one_row": each.one_row,
                    "up_to": each.up_to,
                    "basis": list(each.basis),
                    "passes": {name: _written(one) for name, one in each.passes.items()},
                }
                for each in self.regimes
            ],
        }


def variant(*, accumulates: bool, offloads: bool) -> str:
    """The name of a pass: gradients of an earlier micro-batch are there or not, inputs of layers on the host or not."""
    return ("accumulated" if accumulates else "single") + (" offloaded" if offloads else "")


def read_tape(document: Mapping[str, Any]) -> Tape:
    """Read a tape.

    Raises:
        ValueError: It is of another format, or torn.
    """
    try:
        if document["format"] != FORMAT:
            raise ValueError("a tape of another format")
        regimes = tuple(
            Regime(
                bool(each["one_row"]),
                each["up_to"],
                tuple(each["basis"]),
                {name: _read(one) for name, one in each["passes"].items()},
            )
            for each in document["regimes"]
        )
        for each in regimes:
            quantities(each.basis)
        return Tape(regimes, float(document["error"]), tuple(document["sums"]))
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"a torn tape: {problem}") from problem


def value(terms: Terms, amounts: Sequence[float]) -> float:
    """Bytes of a form.

    Args:
        terms: The form.
        amounts: Of each quantity of the basis.
    """
    total = 0.0
    for index, each in terms:
        total += each * amounts[index]
    return total


def _added(*forms: Terms) -> Terms:
    summed: dict[int, float] = {}
    for form in forms:
        for index, each in form:
            summed[index] = summed.get(index, 0.0) + each
    return tuple((index, each) for index, each in summed.items() if each)


def _written(one: Pass) -> dict[str, Any]:
    return {
        "moments": [[x.phase, x.layer, x.activations, x.loss, x.gradients] for x in one.moments],
        "loss": one.loss,
        "layer": one.layer,
        "forward": one.forward,
        "kept": one.kept,
        "carried": one.carried,
    }


def _read(one: Mapping[str, Any]) -> Pass:
    return Pass(
        tuple(MomentForm(x[0], x[1], _terms(x[2]), _terms(x[3]), _terms(x[4])) for x in one["moments"]),
        tuple(map(_terms, one["loss"])),
        tuple(map(_terms, one["layer"])),
        tuple(map(_terms, one["forward"])),
        _terms(one["kept"]),
        _terms(one["carried"]),
    )


def _terms(pairs: Any) -> Terms:
    return tuple((int(index), float(each)) for index, each in pairs)
