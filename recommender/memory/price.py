"""The peak of a step, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.case import Case
from recommender.memory.layer import LayerCost, layer_cost
from recommender.memory.loss import kept_bytes, loss_bytes
from recommender.memory.phases import evaluation_phase_bytes, initialisation_bytes, load_bytes, merge_bytes
from recommender.memory.process import Pools, context_bytes, reserved_beyond, workspace_bytes
from recommender.memory.weights import adapter_bytes, gradient_bytes, optimizer_bytes, update_bytes, weights_bytes

PARTS = ("weights", "adapter", "gradients", "optimizer", "activations", "loss", "workspace", "allocator", "context")


@dataclass(frozen=True, slots=True)
class Price:
    """Bytes by part, and the levels that they add up to."""

    parts: dict[str, int]
    allocated: int
    reserved: int
    process: int
    host: int
    """Paged optimizer states and offloaded checkpoints: host memory beside the worker's own."""
    phases: dict[str, int]
    """Bytes allocated at the worst of each phase."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Bytes that a moment holds beside weights, adapter and, once there is a step, optimizer states."""

    gradients: int
    activations: int
    loss: int
    optimizer: int = 0
    initialisation: int = 0
    """While the model is loaded or the adapter initialised: only where that is the worst of all."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.gradients + self.activations + self.loss + self.optimizer + self.initialisation


def price(case: Case) -> Price:
    """Price the worst moment of a step.

    Raises:
        InputError: See `make_case`.
    """
    on_device, paged = optimizer_bytes(case)
    cost = layer_cost(case)
    moments = _moments(case, cost)
    weights, adapter, workspace = weights_bytes(case), adapter_bytes(case), workspace_bytes(case)
    loading, beginning = load_bytes(case), initialisation_bytes(case)
    # No optimizer states yet; while weights are loaded, no adapter and no workspace either.
    start = Moment(0, 0, 0, -on_device, max(beginning, loading - adapter - workspace))
    worst = max((*moments, start), key=lambda moment: moment.total)
    parts = {
        "weights": weights,
        "adapter": adapter,
        "gradients": worst.gradients,
        "optimizer": on_device + worst.optimizer,
        "activations": worst.activations,
        "loss": worst.loss,
        "workspace": workspace,
    }
    if worst.initialisation:
        parts["initialisation"] = worst.initialisation
    allocated = sum(parts.values())
    parts["allocator"] = reserved_beyond(case, allocated, pools(case, cost))
    reserved = allocated + parts["allocator"]
    parts["context"] = context_bytes(case)
    resident = weights + adapter + on_device + workspace
    loss, last, first, update = (resident + moment.total for moment in moments)
    phases = {
        "load": weights + loading,
        "initialisation": weights + adapter + workspace + beginning,
        "forward": loss,
        "backward": max(last, first),
        "optimizer": update,
        "evaluation": resident + evaluation_phase_bytes(case),
        "save": resident,
        "merge": merge_bytes(case),
    }
    return Price(parts, allocated, reserved, reserved + parts["context"], paged + _offloaded(case, cost), phases)


def _moments(case: Case, cost: LayerCost) -> tuple[Moment, Moment, Moment, Moment]:
    """The moments that can be the worst.

    The loss, with what every layer keeps; the backward pass of the last layer, when the others still keep all; of
    the first, when every gradient is there; the optimizer's step. Gradients of earlier micro-batches are there
    throughout.
    """
    training, layers = case.config.training, case.model.num_layers
    every = gradient_bytes(case)
    before = every if case.accumulates else 0
    first = max(before, every // layers)
    if not training.gradient_checkpointing:
        kept = cost.saved * layers + cost.mask
        one = cost.saved + cost.mask
        last, final = kept + cost.backward, one + cost.backward
    else:
        on_device = min(2, layers) if _offloads(case) else layers
        kept = cost.checkpoint * on_device + cost.mask
        last = kept + cost.recomputed + cost.backward
        final = cost.checkpoint + cost.mask + cost.recomputed + cost.backward
    rest = kept_bytes(case)
    return (
        Moment(before, kept, loss_bytes(case)),
        Moment(first, max(0, last), rest),
        Moment(every, max(0, final), rest),
        Moment(every, 0, rest, update_bytes(case)),
    )


def pools(case: Case, cost: LayerCost) -> Pools:
    """What the loss and one layer's backward pass take and give back."""
    again = cost.recomputed if case.config.training.gradient_checkpointing else 0
    return Pools(loss_bytes(case), max(0, again + cost.backward))


def _offloads(case: Case) -> bool:
    training = case.config.training
    return training.activation_offloading and training.gradient_checkpointing and not case.on_cpu


def _offloaded(case: Case, cost: LayerCost) -> int:
    """Checkpoints in host memory: all but the two that are on their way."""
    return cost.checkpoint * max(0, case.model.num_layers - 2) if _offloads(case) else 0
