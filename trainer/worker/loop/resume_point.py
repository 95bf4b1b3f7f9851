"""Counters of a resumed run (tokens, evaluations, best loss) up to the checkpoint that it resumes from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.history.tail import Tail
from trainer.run.folder import RunFolder
from trainer.run.state import number, whole


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Counters of a run up to a step."""

    step: int = 0
    """The checkpoint's; 0 where the run is not resumed."""
    tokens: int = 0
    """Tokens trained on."""
    first_eval: float | None = None
    last_eval: float | None = None
    best: tuple[float, int] | None = None
    """Lowest evaluation loss and its step."""
    last_eval_step: int | None = None
    since_best: int = 0
    """Evaluations after the best one."""


def read_resume_point(folder: RunFolder, step: int) -> ResumePoint:
    """Read a run's counters from its events up to a step.

    Args:
        folder: The run.
        step: The checkpoint's; what was trained after it does not count.
    """
    tokens: dict[int, int] = {}
    evals: dict[int, float] = {}
    for event in Tail(folder.events).documents():
        at = whole(event.get("step"))
        if event.get("kind") == "start":
            kept = whole(event.get("resumed_from")) or -1
            tokens = {at: value for at, value in tokens.items() if at <= kept}
            evals = {at: value for at, value in evals.items() if at <= kept}
        elif event.get("kind") == "step" and at is not None and at <= step:
            tokens[at] = whole(event.get("tokens")) or 0
        elif event.get("kind") == "eval" and at is not None and at <= step:
            evals[at] = loss if (loss := number(event.get("eval_loss"))) is not None else math.inf
    finite = [(loss, at) for at, loss in sorted(evals.items()) if math.isfinite(loss)]
    best = min(finite) if finite else None
    return ResumePoint(
        step=step,
        tokens=tokens[max(tokens)] if tokens else 0,
        first_eval=finite[0][0] if finite else None,
        last_eval=finite[-1][0] if finite else None,
        best=best,
        last_eval_step=max(evals) if evals else None,
        since_best=sum(at > best[1] for at in evals) if best else len(evals),
    )
