"""The first change for a run's next attempt, in the words and the order of the rules (`recommender.rules.fitting`).

The rules are imported when there is trouble to advise on: the diagnosis looks at every run, and most are well.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.rules.fitting import Advice
    from trainer.history.reader import Snapshot

SHOWN: Final = 3
"""Changes that are told, of an order that is longer: the others are on the page of rules."""


def against_overfitting(snapshot: Snapshot, *, best_step: int | None = None) -> str:
    """The first changes of a run that overfits; empty where its configuration cannot be read.

    Args:
        snapshot: The run.
        best_step: Step of the least held-out loss, where there is one: it says how many epochs are enough.
    """
    from recommender.rules import fitting

    config, epoch = _configuration(snapshot), None if best_step is None else _epoch_at(snapshot, best_step)
    return "" if config is None else _told(fitting.against_overfitting(config, best_epoch=epoch))


def against_underfitting(snapshot: Snapshot, *, falling: bool = False) -> str:
    """The first changes of a run that could have learned more; empty where its configuration cannot be read.

    Args:
        snapshot: The run.
        falling: Whether held-out loss still fell at its end.
    """
    from recommender.rules import fitting

    config = _configuration(snapshot)
    return "" if config is None else _told(fitting.against_underfitting(config, falling=falling))


def against_no_learning(snapshot: Snapshot) -> str:
    """The first changes of a run whose loss does not move; empty where its configuration cannot be read."""
    from recommender.rules import fitting

    config = _configuration(snapshot)
    return "" if config is None else _told(fitting.against_no_learning(config))


def _told(advice: Sequence[Advice]) -> str:
    if not advice:
        return ""
    return f"Next time, one after the other: {'; '.join(one.change for one in advice[:SHOWN])}."


def _configuration(snapshot: Snapshot) -> FinetuneConfig | None:
    """The run's configuration; None where its file is torn, or of a version with other keys."""
    from pydantic import ValidationError

    from recommender.config.schema import FinetuneConfig

    try:
        return FinetuneConfig.model_validate(dict(snapshot.config))
    except ValidationError:
        return None


def _epoch_at(snapshot: Snapshot, step: int) -> float | None:
    """Passes over the rows made by a step; None where the worker did not report it."""
    index = bisect_left(snapshot.steps.column("step"), step)
    epochs = [epoch for epoch in snapshot.steps[max(0, index - 1) : index + 1].column("epoch") if isfinite(epoch)]
    return max(epochs, default=None)
