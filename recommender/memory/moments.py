"""The candidate moments of a step's peak, and the bytes of each."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.layers.layer import LayerCost
from recommender.memory.loss import head_gradient_bytes, kept_bytes, last_gradient_bytes, loss_bytes
from recommender.memory.weights import gradient_bytes, update_bytes
from recommender.memory.workload import Workload


@dataclass(frozen=True, slots=True)
class Moment:
    """Bytes that a moment holds beside weights, adapter and, once there is a step, optimizer states."""

    name: str
    """'loss', 'last layer', 'first layer', 'embedding', 'update', or 'start'; of a learned formula 'forward', 'loss',
    'backward' or 'update'."""
    gradients: int
    activations: int
    loss: int
    optimizer: int = 0
    initialisation: int = 0
    """While the model is loaded or the adapter initialised: only where that is the worst of all."""
    layer: int = -1
    """Of a learned formula, the layer at work, from 0."""

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.gradients + self.activations + self.loss + self.optimizer + self.initialisation


def step_moments(workload: Workload, cost: LayerCost) -> tuple[Moment, ...]:
    """The candidate moments of the peak.

    The loss, with what every layer keeps; the backward pass of the last layer, when the others still keep all; of
    the first, when every gradient is there; of a trained embedding; the optimizer's step. Gradients of earlier
    micro-batches are there throughout.
    """
    training, layers = workload.config.training, workload.model.num_layers
    every = gradient_bytes(workload)
    before = every if workload.accumulates else 0
    # A tied head's gradient waits for the embedding's, another one is added to that of the micro-batch before.
    head = before + (head_gradient_bytes(workload) if workload.model.tied or not before else 0)
    if not training.gradient_checkpointing:
        others = cost.saved * (layers - 1) - cost.unsaved_first if layers > 1 else 0
        kept, last, final = others + cost.saved, others + cost.peak, cost.peak
        if layers > 1:
            final -= cost.unsaved_first - cost.held * (layers - 1)
    else:
        on_device = min(2, layers) if offloads(workload) else layers
        kept = cost.checkpoint * on_device + cost.held * layers
        last = kept + cost.recomputed_peak
        final = cost.checkpoint + cost.held * layers + cost.recomputed_peak
        kept, last, final = (bytes_ + _without_noise(workload, cost) for bytes_ in (kept, last, final))
    kept, last, final = (bytes_ + cost.mask for bytes_ in (kept, last, final))
    rest = kept_bytes(workload)
    # The embedding's gradient comes after the first layer's.
    there = every - cost.gradient - (0 if before else last_gradient_bytes(workload))
    return (
        Moment("loss", before, kept, loss_bytes(workload)),
        Moment("last layer", head, last, rest),
        Moment("first layer", max(head, there), final, rest),
        Moment("embedding", every, _embedding_bytes(workload, cost), rest),
        Moment("update", every, 0, rest, update_bytes(workload)),
    )


def _without_noise(workload: Workload, cost: LayerCost) -> int:
    """Bytes of the embeddings before NEFTune's noise, kept by the graph: a frozen embedding's output takes a gradient.

    Only with checkpointing, where PEFT asks for that; the noise itself goes at once.
    """
    training = workload.config.training
    return cost.checkpoint if training.neftune_noise_alpha is not None and workload.config.method != "full" else 0


def _embedding_bytes(workload: Workload, cost: LayerCost) -> int:
    """A trained embedding's backward pass: its output's gradient, and its own where that is added to another.

    Where the head is the same weight, the head's gradient has waited, and the sum of the two is a third.
    """
    if workload.config.method != "full":
        return 0
    others = (2 if workload.model.tied else 0) + (1 if workload.accumulates else 0)
    return cost.checkpoint + others * workload.adapter * workload.model.embedding_parameters


def offloads(workload: Workload) -> bool:
    """Whether checkpoints go to host memory."""
    training = workload.config.training
    return training.activation_offloading and training.gradient_checkpointing and not workload.on_cpu
