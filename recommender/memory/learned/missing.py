"""A recipe without a tape: learned at once where someone has offered to, else refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Learn = Callable[[Any], None]
"""Learns the tape of a `Workload`, or raises the reason why it cannot."""

_LEARN: ContextVar[Learn | None] = ContextVar("learn", default=None)


@contextmanager
def learning(learn: Learn | None) -> Iterator[None]:
    """Have pricing, within this block and thread, learn what it has no tape for; None: refuse it.

    The estimator stays free of processes: `trainer.learn.ask` offers the child that learns.
    """
    token = _LEARN.set(learn)
    try:
        yield
    finally:
        _LEARN.reset(token)


def learner() -> Learn | None:
    """What was offered here."""
    return _LEARN.get()
