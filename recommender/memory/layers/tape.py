"""A layer as a tape of operations: what each keeps for its backward pass, and holds while it runs.

Autograd walks an operation list backwards. While it is at one operation, everything that this one and those before it
keep is still alive, and what those after it kept is gone. So the worst moment of a backward pass is the largest sum of
a prefix and of what is in flight at its end, and every figure that pricing needs is a fold over the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Op(NamedTuple):
    """One operation of a layer's forward pass. All figures are bytes of a whole micro-batch."""

    name: str
    kept: int = 0
    """For its backward pass, of tensors that no operation before it keeps."""
    forward: int = 0
    """In flight at the worst of its forward pass, beside what it and the operations before it keep."""
    backward: int = 0
    """In flight at the worst of its backward pass: gradients of activations, unpacked weights, copies."""
    gradient: int = 0
    """Gradients of trained weights that its backward pass leaves behind."""
    held: int = 0
    """Kept where autograd cannot free it before the graph goes: attributes of a context."""


class Peaks(NamedTuple):
    """Folds of a tape, bytes."""

    kept: int
    """By all operations, held tensors included."""
    held: int
    forward: int
    """Worst of the forward pass that keeps what the backward pass needs."""
    backward: int
    """Worst of the backward pass, with the gradients that it has left behind by then."""
    gradient: int
    """Gradients that it leaves."""


def peaks_of(tape: Sequence[Op]) -> Peaks:
    """Fold a tape, in forward order, into its peaks."""
    kept = held = forward = 0
    for _, keeps, running, _, _, holds in tape:
        kept += keeps
        held += holds
        if kept + held + running > forward:
            forward = kept + held + running
    backward = gradient = 0
    alive = kept + held
    for _, keeps, _, running, leaves, _ in reversed(tape):
        gradient += leaves
        if alive + gradient + running > backward:
            backward = alive + gradient + running
        alive -= keeps
    return Peaks(kept + held, held, forward, backward, gradient)


class Worst(NamedTuple):
    """The worst moment of a tape."""

    place: int
    """Of the operation, from 0."""
    backward: bool
    gradient: int
    """Gradients that are left by then."""
    waiting: int = 0
    """Of `waiting`, what counts there."""


def worst_of(tape: Sequence[Op], *, holds: bool = True, waiting: int = 0, ends_early: bool = False) -> Worst:
    """The places of the peaks of `peaks_of` on the tape: to explain them.

    Args:
        tape: In forward order.
        holds: Whether held tensors count in the backward pass too.
        waiting: Bytes beside a forward pass.
        ends_early: Whether the last operation's forward pass is without them.
    """
    peaks = peaks_of(tape)
    backward = peaks.backward if holds else peaks.backward - peaks.held
    place, forward, beside = _worst_forward(tape, waiting, ends_early)
    if forward > backward:
        return Worst(place, backward=False, gradient=0, waiting=beside)
    gradient, rest = 0, peaks.kept - peaks.held
    for index in range(len(tape) - 1, -1, -1):
        gradient += tape[index].gradient
        if rest + peaks.held + tape[index].backward + gradient == peaks.backward:
            return Worst(index, backward=True, gradient=gradient)
        rest -= tape[index].kept
    raise ValueError("an empty tape has no worst moment")


def _worst_forward(tape: Sequence[Op], waiting: int, ends_early: bool) -> tuple[int, int, int]:
    """The operation at the worst of a forward pass, the bytes alive there, and what of `waiting` is among them."""
    worst, alive = (0, 0, 0), 0
    for index, op in enumerate(tape):
        alive += op.kept + op.held
        beside = 0 if ends_early and index == len(tape) - 1 else waiting
        if alive + op.forward + beside > worst[1]:
            worst = (index, alive + op.forward + beside, beside)
    return worst
