"""The peak of a step, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.case import Case
from recommender.memory.layer import LayerCost, layer_cost
from recommender.memory.loss import head_gradient_bytes, kept_bytes, loss_bytes
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
    loss, *layers, update = (resident + moment.total for moment in moments)
    phases = {
        "load": weights + loading,
        "initialisation": weights + adapter + workspace + beginning,
        "forward": loss,
        "backward": max(layers),
        "optimizer": update,
        "evaluation": resident + evaluation_phase_bytes(case),
        "save": resident,
        "merge": merge_bytes(case),
    }
    return Price(parts, allocated, reserved, reserved + parts["context"], paged + _offloaded(case, cost), phases)


def _moments(case: Case, cost: LayerCost) -> tuple[Moment, ...]:
    """The moments that can be the worst.

    The loss, with what every layer keeps; the backward pass of the last layer, when the others still keep all; of
    the first, when every gradient is there; of a trained embedding; the optimizer's step. Gradients of earlier
    micro-batches are there throughout.
    """
    training, layers = case.config.training, case.model.num_layers
    every = gradient_bytes(case)
    before = every if case.accumulates else 0
    # A tied head's gradient waits for the embedding's, another one is added to that of the micro-batch before.
    head = before + (head_gradient_bytes(case) if case.model.tied or not before else 0)
    if not training.gradient_checkpointing:
        others = cost.saved * (layers - 1) - cost.unsaved_first if layers > 1 else 0
        kept, last, final = others + cost.saved, others + cost.peak, cost.peak
        if layers > 1:
            final -= cost.unsaved_first - cost.held * (layers - 1)
    else:
        on_device = min(2, layers) if _offloads(case) else layers
        kept = cost.checkpoint * on_device + cost.held * layers
        last = kept + cost.recomputed_peak
        final = cost.checkpoint + cost.held * layers + cost.recomputed_peak
    kept, last, final = (bytes_ + cost.mask for bytes_ in (kept, last, final))
    rest = kept_bytes(case)
    return (
        Moment(before, kept, loss_bytes(case)),
        Moment(head, last, rest),
        Moment(max(head, every - cost.gradient), final, rest),
        Moment(every, _embedding_bytes(case, cost), rest),
        Moment(every, 0, rest, update_bytes(case)),
    )


def _embedding_bytes(case: Case, cost: LayerCost) -> int:
    """A trained embedding's backward pass: its output's gradient, and its own where that is added to another.

    Where the head is the same weight, the head's gradient has waited, and the sum of the two is a third.
    """
    if case.config.method != "full":
        return 0
    others = (2 if case.model.tied else 0) + (1 if case.accumulates else 0)
    return cost.checkpoint + others * case.adapter * case.model.embedding_parameters


def pools(case: Case, cost: LayerCost) -> Pools:
    """What the loss and one layer's backward pass take and give back."""
    layer = cost.recomputed_peak if case.config.training.gradient_checkpointing else cost.peak - cost.saved
    return Pools(loss_bytes(case), max(0, layer))


def _offloads(case: Case) -> bool:
    training = case.config.training
    return training.activation_offloading and training.gradient_checkpointing and not case.on_cpu


def _offloaded(case: Case, cost: LayerCost) -> int:
    """Checkpoints in host memory: all but the two that are on their way."""
    return cost.checkpoint * max(0, case.model.num_layers - 2) if _offloads(case) else 0
