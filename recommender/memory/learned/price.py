"""A step's moments by a learned tape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from recommender.memory.learned.missing import learner
from recommender.memory.learned.store import refusal_of, stands_in, tape_of
from recommender.memory.learned.tape import Pass, Tape, Terms, value, variant
from recommender.memory.loss import evaluation_bytes, kept_bytes
from recommender.memory.moments import Moment, offloads
from recommender.memory.not_learned import CannotLearn, NotLearned
from recommender.memory.process import Pools
from recommender.memory.step import Step
from recommender.memory.weights import gradient_bytes, update_bytes
from recommender.memory.workload import FP32, HALF, Workload


def learned_step(workload: Workload) -> Step:
    """The step of a workload whose class was learned; it is learned now where `missing.learning` offers that.

    Raises:
        NotLearned: It was not, or not for rows of this kind.
        CannotLearn: It cannot be.
    """
    tape, unpacked = _tape(workload)
    regime = None if tape is None else tape.regime(workload.rows, workload.length)
    if regime is None:
        raise NotLearned(workload)
    off = offloads(workload)
    made = regime.passes[variant(accumulates=workload.accumulates, offloads=off)]
    rank = workload.config.lora.r if workload.config.method != "full" else 0
    amounts = [each(workload.rows, workload.length, rank) for each in regime.quantities]
    every = gradient_bytes(workload)
    update = Moment("update", every, 0, kept_bytes(workload), update_bytes(workload))
    loss, layer, forward = (_most(forms, amounts) for forms in (made.loss, made.layer, made.forward))
    kept = round(value(made.kept, amounts))
    hidden = workload.tokens * workload.model.hidden_size * workload.plain
    layers = kept if not workload.config.training.gradient_checkpointing else layer * workload.model.num_layers
    before = every if workload.accumulates else 0
    return Step(
        (*_moments(made, amounts, before, unpacked), update),
        Pools(loss, layer, 0, layers),
        max(forward, evaluation_bytes(workload, loss) + hidden),
        round(value(made.carried, amounts)) if off else 0,
    )


def _tape(workload: Workload) -> tuple[Tape | None, int]:
    """The tape of a recipe, learned now where that is offered, and bytes of an unpacked weight beside it.

    Where a quantised recipe cannot be learned, the tape of the same recipe in 16 bits stands in: its layers keep as
    much or more, and one weight is unpacked beside them.

    Raises:
        CannotLearn: Neither can be.
    """
    tape = tape_of(workload)
    if tape is None and not refusal_of(workload) and (learn := learner()) is not None:
        try:
            learn(workload)
        except CannotLearn:
            if not workload.bits:
                raise
        tape = tape_of(workload)
    if tape is not None or not stands_in(workload):
        return tape, 0
    largest = max((each.in_features * each.out_features for each in workload.model.linears), default=0)
    return _tape(_in_16_bits(workload))[0], HALF * largest


def _in_16_bits(workload: Workload) -> Workload:
    """The same without quantisation: our worker's adapters are in fp32 then."""
    quantization = workload.config.quantization.model_copy(update={"bits": None})
    config = workload.config.model_copy(update={"method": "lora", "quantization": quantization})
    adapter = FP32 if workload.stack.name == "trl" else workload.adapter
    return replace(workload, config=config, bits=None, adapter=adapter, packs_experts=False)


def _moments(made: Pass, amounts: Sequence[float], before: int, unpacked: int) -> list[Moment]:
    """The worst moment of each phase, each with the bytes of an unpacked weight."""
    worst: dict[str, tuple[float, int]] = {}
    for index, total in enumerate(made.totals):
        level, phase = value(total, amounts), made.moments[index].phase
        if phase not in worst or level > worst[phase][0]:
            worst[phase] = level, index
    found = []
    for phase, (_, index) in sorted(worst.items(), key=itemgetter(0)):
        one = made.moments[index]
        activations, loss, gradients = (
            round(value(form, amounts)) for form in (one.activations, one.loss, one.gradients)
        )
        found.append(Moment(phase, before + gradients, activations + unpacked, loss, layer=one.layer))
    return found


def _most(forms: Sequence[Terms], amounts: Sequence[float]) -> int:
    return max(0, *(round(value(form, amounts)) for form in forms)) if forms else 0
