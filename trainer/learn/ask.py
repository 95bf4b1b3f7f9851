"""Tapes for workloads that have none yet, learned in the warm child and kept in the store. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from presets.errors import NoError
from recommender.config.schema import FinetuneConfig
from recommender.memory.learned.missing import learning
from recommender.memory.learned.store import REFUSED, keep_tape, refusal_of, tape_of
from recommender.memory.not_learned import CannotLearn
from recommender.memory.workload import Workload
from trainer.learn.warm import CHILD, FAILED, Progress
from trainer.process.children import Cancelled
from trainer.trace.architecture import architecture_of
from trainer.trace.ask import refuse
from trainer.trace.order import Order, make_order

SECONDS = 300.0
"""After which learning one recipe is given up."""


class LearningCancelled(NoError):
    """The person cancelled learning a model."""


def learned(
    workload: Workload,
    progress: Progress | None = None,
    cancelled: Cancelled = lambda: False,
    *,
    seconds: float = SECONDS,
) -> None:
    """Learn the tape of a workload's model and recipe, unless the store has it.

    Args:
        workload: Of a model with an anatomy.
        progress: Told a few times a second how many traces are done.
        cancelled: Asked a few times a second; ends the child when true.
        seconds: Limit of the time it may take.

    Raises:
        InputError: What a trace would get wrong.
        CannotLearn: It has none, with the reason.
        LearningCancelled: `cancelled` said so.
    """
    if tape_of(workload) is not None:
        return
    refuse(replace(workload, config=_without_offloading(workload)))
    if why := refusal_of(workload):
        raise _cannot(why)
    answer = CHILD.ask(order_of(workload).dumps(), progress, cancelled, seconds)
    if answer is None:
        raise LearningCancelled("Learning this model was cancelled.")
    if FAILED in answer:
        raise _cannot(str(answer[FAILED]))
    if REFUSED in answer:
        keep_tape(workload, {REFUSED: answer[REFUSED]})
        raise _cannot(str(answer[REFUSED]))
    keep_tape(workload, answer["tape"])


@contextmanager
def learning_here(progress: Progress | None = None, cancelled: Cancelled = lambda: False) -> Iterator[None]:
    """Have pricing in this block and thread learn what it has no tape for, in the warm child.

    Args:
        progress: As `learned`.
        cancelled: As `learned`.
    """

    def learn(workload: Workload) -> None:
        learned(workload, progress, cancelled)

    with learning(learn):
        yield


def order_of(workload: Workload) -> Order:
    """The order of a workload's recipe: sizes, accumulation and optimizer in it do not matter."""
    plain = replace(workload, config=_without_offloading(workload))
    return replace(make_order(plain, architecture_of(workload.model)), total_parameters=0)


def _without_offloading(workload: Workload) -> FinetuneConfig:
    """Offloading is arithmetic beside a tape: no trace follows it."""
    training = workload.config.training.model_copy(update={"activation_offloading": False})
    return workload.config.model_copy(update={"training": training})


def _cannot(why: str) -> CannotLearn:
    remedy = "`lora-wizard estimate CONFIG --trace` answers, or `lora-wizard calibrate` measures."
    return CannotLearn(why, remedy=remedy)
