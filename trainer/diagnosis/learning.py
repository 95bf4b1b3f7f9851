"""The diagnosis's rules about learning: findings from the losses, with the change that would help."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Final

from recommender.units import count
from trainer.diagnosis.advice import against_no_learning, against_overfitting, against_underfitting
from trainer.diagnosis.finding import Finding, Rule
from trainer.run.state import number

if TYPE_CHECKING:
    from trainer.history.columns import Steps
    from trainer.history.reader import EvalPoint, Snapshot

ROBUST: Final = 1.4826
"""From a median absolute deviation to a normal distribution's standard deviation."""
LOOKED_BACK, BEFORE = 100, 50
"""Steps in which a jump is still news, and how many before it make the usual."""
JUMP_DEVIATIONS, JUMP_TIMES, JUMP_STEPS = 8.0, 1.6, 3
"""A jump: so many steps one after the other above so many deviations, and so many times the usual loss."""
RISEN: Final = 1.35
"""Times its best level that the loss of the latest steps must have, to be called diverging."""
LEARNT: Final = 0.02
"""Share of the loss that must have gone by the time when nothing learnt is said."""
OVER, WORSE_EVALUATIONS = 1.04, 2
"""Overfitting: times the best evaluation loss, and evaluations each worse than the one before since then."""
BY_HEART, GAP, BY_HEART_EPOCHS = 0.1, 5.0, 1.5
"""Learned by heart: a training loss below this, an evaluation loss so many times higher, after so many epochs."""
STILL_FALLING: Final = 0.05
"""Share of the evaluation loss that fell away over the last third of a finished run: more of it would have helped."""
HIGH, FLAT = 0.9, 0.005
"""Both losses high and flat: still above this share of where they began, and no more than that lost in a third."""
FEWEST: Final = 60
"""Logged steps below which nothing is said of a level."""
MOST: Final = 4000
"""Losses that are looked at of a long run."""


def often_not_finite(snapshot: Snapshot) -> Finding | None:
    """Finding: many steps without a finite loss, though it recovers."""
    latest = snapshot.steps[-LOOKED_BACK:]
    bad = len(latest) - round(sum(latest.column("finite")))
    if snapshot.state.ended or bad < 3 or not latest[-1].finite:
        return None
    return Finding(
        "caution",
        "the loss is not a number now and then",
        f"At {bad} of the last {len(latest)} steps.",
        "Lower the learning_rate or max_grad_norm; under fp16, use bf16 where the card has it.",
    )


def spiking(snapshot: Snapshot) -> Finding | None:
    """Finding: the loss jumped, for more than a step or two."""
    if snapshot.state.ended:
        return None
    losses, numbers = _finite(snapshot.steps[-(LOOKED_BACK + BEFORE) :])
    least = JUMP_TIMES * min(losses, default=0.0)
    for index in range(BEFORE, len(losses) - JUMP_STEPS + 1):
        if losses[index] <= least:
            continue
        before = losses[index - BEFORE : index]
        usual = median(before)
        deviation = ROBUST * median(abs(loss - usual) for loss in before)
        limit = max(usual + JUMP_DEVIATIONS * deviation, JUMP_TIMES * usual)
        if min(losses[index : index + JUMP_STEPS]) > limit:
            return Finding(
                "caution",
                "the loss jumped",
                f"To {max(losses[index : index + JUMP_STEPS]):.3g} at step {count(int(numbers[index]))}, "
                f"from {usual:.3g} before.",
                f"If it does not come back: stop without saving, then {_slower(snapshot)}.",
            )
    return None


def diverging(snapshot: Snapshot) -> Finding | None:
    """Finding: the loss left its best level long ago and rises."""
    losses, numbers = _known(snapshot)
    part = max(20, len(losses) // 20)
    if snapshot.state.ended or len(losses) < max(FEWEST, 4 * part):
        return None
    levels = [fmean(losses[start : start + part]) for start in range(len(losses) % part, len(losses) - part + 1, part)]
    best = min(range(len(levels)), key=levels.__getitem__)
    if len(levels) - 1 - best < 2 or min(levels[-2:]) < RISEN * levels[best] or levels[-1] < 0.95 * levels[-2]:
        return None
    at = count(int(numbers[min(len(numbers) - 1, len(losses) % part + best * part)]))
    return Finding(
        "bad",
        "the loss is rising",
        f"{levels[-1]:.3g} over the last {part} steps; {levels[best]:.3g} around step {at}.",
        f"Stop without saving, then {_slower(snapshot)}.",
    )


def not_learning(snapshot: Snapshot) -> Finding | None:
    """Finding: the loss is flat from the beginning: the rate is too low, or nothing is trained."""
    losses, _ = _known(snapshot)
    total = snapshot.state.total_steps or 0
    if snapshot.status not in {"training", "evaluating", "saving", "finished"} or len(losses) < FEWEST:
        return None
    if snapshot.state.step < 0.15 * total or not _warm(snapshot):
        return None
    edge = max(20, len(losses) // 5)
    began, now = losses[:edge], losses[-edge:]
    noise = 3 * math.hypot(_standard_error(began), _standard_error(now))
    evaluated = [point.eval_loss for point in snapshot.evals if point.eval_loss is not None]
    better = len(evaluated) > 1 and evaluated[-1] < (1 - LEARNT) * evaluated[0]
    if better or abs(fmean(began) - fmean(now)) > max(noise, LEARNT * fmean(began)) or fmean(now) < BY_HEART:
        return None
    if noise > 0.1 * fmean(began):
        # Losses so scattered that a fall could hide in them.
        return None
    gradients = [norm for norm in snapshot.steps[-edge:].column("grad_norm") if math.isfinite(norm)]
    nothing = bool(gradients) and max(gradients) == 0.0
    change = (
        "No gradient reaches the trained weights: check target_modules and train_on."
        if nothing
        else against_no_learning(snapshot)
        or "Look at the rows: no change of learning rate or adapter is left to suggest."
    )
    seen = f"{fmean(began):.3g} over the first {edge} steps, {fmean(now):.3g} over the last."
    return Finding("caution", "nothing is learned yet", seen, change)


def overfitting(snapshot: Snapshot) -> Finding | None:
    """Finding: evaluation loss rises while training loss falls."""
    known = _evaluations(snapshot)
    if len(known) < WORSE_EVALUATIONS + 1:
        return None
    best = min(range(len(known)), key=lambda index: known[index].eval_loss or 0.0)
    after = [point.eval_loss or 0.0 for point in known[best:]]
    rises = all(later > earlier for earlier, later in pairwise(after))
    if len(after) - 1 < WORSE_EVALUATIONS or not rises or after[-1] < OVER * after[0]:
        return None
    then, now = _level_at(snapshot, known[best].step), _level_at(snapshot, known[-1].step)
    if then is None or now is None or now >= then:
        return None
    step = known[best].step
    which = f"The best checkpoint is of step {count(step)}." if step else "No checkpoint is better than the base."
    return Finding(
        "caution",
        "overfitting",
        f"eval_loss {after[0]:.4g} at step {count(known[best].step)}, {after[-1]:.4g} at step {count(known[-1].step)}; "
        f"the training loss fell from {then:.3g} to {now:.3g}.",
        f"{which} {against_overfitting(snapshot, best_step=step)}".rstrip(),
    )


def learned_by_heart(snapshot: Snapshot) -> Finding | None:
    """Finding: the training loss is near zero after several epochs, and no evaluation loss is as low."""
    losses, _ = _known(snapshot)
    epoch = snapshot.steps[-1].epoch if snapshot.steps else None
    if len(losses) < FEWEST or (epoch or 0.0) < BY_HEART_EPOCHS:
        return None
    now, known = fmean(losses[-20:]), _evaluations(snapshot)
    if now >= BY_HEART or (known and (known[-1].eval_loss or 0.0) < GAP * max(now, 1e-3)):
        return None
    held_out = f"; eval_loss {known[-1].eval_loss:.3g}" if known else "; nothing is held out to compare it with"
    return Finding(
        "caution",
        "the rows are being learned by heart",
        f"Training loss {now:.2g} in epoch {epoch:.1f}{held_out}.",
        f"{against_overfitting(snapshot)} Look for duplicates with `lora-wizard data`.".lstrip(),
    )


def underfitting(snapshot: Snapshot) -> Finding | None:
    """Finding: the run has finished and could have learned more."""
    known = _evaluations(snapshot)
    if snapshot.status != "finished" or len(known) < 3:
        return None
    first, last = known[0].eval_loss or 0.0, known[-1].eval_loss or 0.0
    earlier = min(known[:-1], key=lambda point: abs(point.step - 2 / 3 * known[-1].step))
    before = earlier.eval_loss or 0.0
    if before > 0 and last < (1 - STILL_FALLING) * before and last == min(point.eval_loss or 0.0 for point in known):
        return Finding(
            "caution",
            "it was still learning when it ended",
            f"eval_loss {before:.4g} at step {count(earlier.step)}, {last:.4g} at the end.",
            against_underfitting(snapshot, falling=True),
        )
    if known[0].step == 0 and last > HIGH * first and abs(before - last) < FLAT * before:
        return Finding(
            "caution",
            "little was learned",
            f"eval_loss {first:.4g} before training, {last:.4g} at the end, and flat over the last third.",
            against_underfitting(snapshot),
        )
    return None


def _known(snapshot: Snapshot) -> tuple[array[float], array[float]]:
    """The finite losses and their steps; an even selection where there are many."""
    return _finite(snapshot.steps, stride=1 + len(snapshot.steps) // MOST)


def _finite(steps: Steps, stride: int = 1) -> tuple[array[float], array[float]]:
    pairs = zip(steps.column("loss")[::stride], steps.column("step")[::stride], strict=True)
    kept = [(loss, step) for loss, step in pairs if math.isfinite(loss)]
    return array("d", (loss for loss, _ in kept)), array("d", (step for _, step in kept))


def _evaluations(snapshot: Snapshot) -> Sequence[EvalPoint]:
    return [point for point in snapshot.evals if point.eval_loss is not None]


def _level_at(snapshot: Snapshot, step: int) -> float | None:
    """The mean training loss of the twenty logged steps up to one; of the first step, before any."""
    last = max(1, bisect_right(snapshot.steps.column("step"), step))
    near, _ = _finite(snapshot.steps[max(0, last - 20) : last])
    return fmean(near) if near else None


def _warm(snapshot: Snapshot) -> bool:
    """Whether the learning rate reached its peak a while ago."""
    rates = snapshot.steps.column("learning_rate")
    peak = max((rate for rate in rates if math.isfinite(rate)), default=0.0)
    reached = next((index for index, rate in enumerate(rates) if rate >= 0.99 * peak), 0)
    return len(rates) - reached >= FEWEST // 2


def _standard_error(values: Sequence[float]) -> float:
    mean = fmean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1) / len(values))


def _slower(snapshot: Snapshot) -> str:
    """The command that resumes at half the learning rate."""
    training: Any = snapshot.config.get("training")
    found = number(training.get("learning_rate")) if isinstance(training, dict) else None
    half = f"{found / 2:.2g}" if found else "HALF"
    return f"`lora-wizard resume {snapshot.argument} --set training.learning_rate={half}`"


RULES: Final[Sequence[Rule]] = (
    diverging,
    often_not_finite,
    spiking,
    not_learning,
    overfitting,
    learned_by_heart,
    underfitting,
)
"""Rules for a loss that is the mean negative log-likelihood of the trained tokens, the gravest first."""
