"""The peak of a step, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.layers.layer import LayerCost, layer_cost
from recommender.memory.loss import loss_bytes
from recommender.memory.moments import Moment, offloads, step_moments
from recommender.memory.phases import evaluation_phase_bytes, initialisation_bytes, load_bytes, merge_bytes
from recommender.memory.process import Left, Pools, context_bytes, left_bytes, reserved_beyond, workspace_bytes
from recommender.memory.weights import adapter_bytes, optimizer_bytes, weights_bytes
from recommender.memory.workload import FP32, Case

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
    states: int
    """Optimizer states, wherever they are."""
    phases: dict[str, int]
    """Bytes allocated at the worst of each phase."""
    left: Left
    """Of the allocator's part, what a mixed run's growing micro-batches leave."""


def price(case: Case) -> Price:
    """Price the worst moment of a step.

    Raises:
        InputError: See `make_case`.
    """
    on_device, paged = optimizer_bytes(case)
    cost = layer_cost(case)
    moments = step_moments(case, cost)
    weights, adapter, workspace = weights_bytes(case), adapter_bytes(case), workspace_bytes(case)
    loading, beginning = load_bytes(case), initialisation_bytes(case)
    # No optimizer states yet; while weights are loaded, no adapter and no workspace either.
    start = Moment("start", 0, 0, 0, -on_device, max(beginning, loading - adapter - workspace))
    totals = [moment.total for moment in moments]
    most = max(totals)
    worst = start if start.total > most else moments[totals.index(most)]
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
    both, context = pools(case, cost, loss=moments[0].loss, worst=worst), context_bytes(case)
    beyond = reserved_beyond(case, worst.activations + worst.loss, both)
    left = left_bytes(case, both, case.device.free_bytes - allocated - beyond - context)
    parts["allocator"] = beyond + left.middle
    reserved = allocated + parts["allocator"]
    parts["context"] = context
    resident = weights + adapter + on_device + workspace
    loss, *layers, update = [resident + total for total in totals]
    phases = {
        "load": weights + loading,
        "initialisation": weights + adapter + workspace + beginning,
        "forward": loss,
        "backward": max(layers),
        "optimizer": update,
        "evaluation": resident + evaluation_phase_bytes(case, moments[0].loss),
        "save": resident,
        "merge": merge_bytes(case),
    }
    return Price(
        parts, allocated, reserved, reserved + context, paged + _offloaded(case, cost), on_device + paged, phases, left
    )


def pools(case: Case, cost: LayerCost, *, loss: int | None = None, worst: Moment | None = None) -> Pools:
    """What the loss and one layer's backward pass take and give back; of the loss, what the worst moment cannot use."""
    layer = cost.recomputed_peak if case.config.training.gradient_checkpointing else cost.peak - cost.saved
    loss = loss_bytes(case) if loss is None else loss
    unserved = 0
    if worst is not None and worst.name == "update" and case.stack.loss == "full":
        unserved = loss if FP32 * case.tokens > case.adapter * case.model.hidden_size else 0
    return Pools(loss, max(0, layer), unserved, cost.saved * case.model.num_layers)


def _offloaded(case: Case, cost: LayerCost) -> int:
    """Checkpoints in host memory: all but the two that are on their way."""
    return cost.checkpoint * max(0, case.model.num_layers - 2) if offloads(case) else 0
