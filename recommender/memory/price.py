"""The peak of a step, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.layers.layer import LayerCost, layer_cost
from recommender.memory.loss import loss_bytes
from recommender.memory.moments import Moment, offloads, step_moments
from recommender.memory.not_learned import NotLearned
from recommender.memory.phases import evaluation_phase_bytes, initialisation_bytes, load_bytes, merge_bytes
from recommender.memory.process import Left, Pools, context_bytes, left_bytes, reserved_beyond, workspace_bytes
from recommender.memory.weights import adapter_bytes, optimizer_bytes, weights_bytes
from recommender.memory.workload import FP32, Workload

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


def price(workload: Workload) -> Price:
    """Price the worst moment of a step.

    Raises:
        InputError: See `resolve_workload`.
        NotLearned: The model is of no hand-written family, and no tape of it is at hand.
    """
    if workload.model.anatomy is not None:
        raise NotLearned(workload)
    on_device, paged = optimizer_bytes(workload)
    cost = layer_cost(workload)
    moments = step_moments(workload, cost)
    weights, adapter, workspace = weights_bytes(workload), adapter_bytes(workload), workspace_bytes(workload)
    loading, beginning = load_bytes(workload), initialisation_bytes(workload)
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
    both, context = pools(workload, cost, loss=moments[0].loss, worst=worst), context_bytes(workload)
    beyond = reserved_beyond(workload, worst.activations + worst.loss, both)
    left = left_bytes(workload, both, workload.device.free_bytes - allocated - beyond - context)
    parts["allocator"] = beyond + left.middle
    reserved = allocated + parts["allocator"]
    parts["context"] = context
    resident = weights + adapter + on_device + workspace
    begun = {"load": weights + loading, "initialisation": weights + adapter + workspace + beginning}
    phases = begun | _phases(workload, resident, totals, moments[0].loss)
    return Price(
        parts,
        allocated,
        reserved,
        reserved + context,
        paged + _offloaded(workload, cost),
        on_device + paged,
        phases,
        left,
    )


def _phases(workload: Workload, resident: int, totals: list[int], loss_bytes: int) -> dict[str, int]:
    """Bytes allocated at the worst of each phase once training has begun.

    Args:
        workload: The run.
        resident: Bytes that stay from load to end.
        totals: Bytes beside them at each moment of a step: the loss, each layer's backward pass, the optimizer.
        loss_bytes: Of the first moment, what the loss takes.
    """
    loss, *layers, update = [resident + total for total in totals]
    return {
        "forward": loss,
        "backward": max(layers),
        "optimizer": update,
        "evaluation": resident + evaluation_phase_bytes(workload, loss_bytes),
        "save": resident,
        "merge": merge_bytes(workload),
    }


def pools(workload: Workload, cost: LayerCost, *, loss: int | None = None, worst: Moment | None = None) -> Pools:
    """Bytes that the loss and one layer's backward pass take and give back.

    `unserved` is the part of the loss's that the worst moment cannot use.
    """
    layer = cost.recomputed_peak if workload.config.training.gradient_checkpointing else cost.peak - cost.saved
    loss = loss_bytes(workload) if loss is None else loss
    unserved = 0
    if worst is not None and worst.name == "update" and workload.stack.loss == "full":
        unserved = loss if FP32 * workload.tokens > workload.adapter * workload.model.hidden_size else 0
    return Pools(loss, max(0, layer), unserved, cost.saved * workload.model.num_layers)


def _offloaded(workload: Workload, cost: LayerCost) -> int:
    """Checkpoints in host memory: all but the two that are on their way."""
    return cost.checkpoint * max(0, workload.model.num_layers - 2) if offloads(workload) else 0
