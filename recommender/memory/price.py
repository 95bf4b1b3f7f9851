"""The peak of a step, part by part."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recommender.memory.layers.layer import LayerCost, layer_cost
from recommender.memory.learned.price import learned_step
from recommender.memory.loss import loss_bytes
from recommender.memory.moments import Moment, offloads, step_moments
from recommender.memory.phases import evaluation_phase_bytes, initialisation_bytes, load_bytes, merge_bytes
from recommender.memory.process import Left, Pools, context_bytes, left_bytes, reserved_beyond, workspace_bytes
from recommender.memory.step import Step
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
    step = step_of(workload)
    on_device, paged = optimizer_bytes(workload)
    weights, adapter, workspace = weights_bytes(workload), adapter_bytes(workload), workspace_bytes(workload)
    loading, beginning = load_bytes(workload), initialisation_bytes(workload)
    # No optimizer states yet; while weights are loaded, no adapter and no workspace either.
    start = Moment("start", 0, 0, 0, -on_device, max(beginning, loading - adapter - workspace))
    worst = max((*step.moments, start), key=lambda moment: moment.total)
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
    both, context = replace(step.pools, unserved=_unserved(workload, step.pools.loss, worst)), context_bytes(workload)
    beyond = reserved_beyond(workload, worst.activations + worst.loss, both)
    left = left_bytes(workload, both, workload.device.free_bytes - allocated - beyond - context)
    parts["allocator"] = beyond + left.middle
    reserved = allocated + parts["allocator"]
    parts["context"] = context
    resident = weights + adapter + on_device + workspace
    begun = {"load": weights + loading, "initialisation": weights + adapter + workspace + beginning}
    phases = begun | _phases(workload, resident, step)
    return Price(
        parts,
        allocated,
        reserved,
        reserved + context,
        paged + step.offloaded,
        on_device + paged,
        phases,
        left,
    )


def step_of(workload: Workload) -> Step:
    """The step by the formula that the model has: one written by hand for its family, else a learned one.

    Raises:
        NotLearned: The model is of no hand-written family, and no tape of it is at hand.
    """
    if workload.model.anatomy is not None:
        return learned_step(workload)
    cost = layer_cost(workload)
    moments = step_moments(workload, cost)
    return Step(
        moments,
        pools(workload, cost, loss=moments[0].loss),
        evaluation_phase_bytes(workload, moments[0].loss),
        _offloaded(workload, cost),
    )


def _phases(workload: Workload, resident: int, step: Step) -> dict[str, int]:
    """Bytes allocated at the worst of each phase once training has begun.

    Args:
        workload: The run.
        resident: Bytes that stay from load to end.
        step: Bytes beside them.
    """
    return {
        "forward": resident + step.forward,
        "backward": resident + step.backward,
        "optimizer": resident + step.moments[-1].total,
        "evaluation": resident + step.evaluation,
        "save": resident,
        "merge": merge_bytes(workload),
    }


def _unserved(workload: Workload, loss: int, worst: Moment) -> int:
    """The part of the loss's bytes that the worst moment cannot use."""
    if worst.name != "update" or workload.stack.loss != "full":
        return 0
    return loss if FP32 * workload.tokens > workload.adapter * workload.model.hidden_size else 0


def pools(workload: Workload, cost: LayerCost, *, loss: int | None = None) -> Pools:
    """Bytes that the loss and one layer's backward pass take and give back."""
    layer = cost.recomputed_peak if workload.config.training.gradient_checkpointing else cost.peak - cost.saved
    loss = loss_bytes(workload) if loss is None else loss
    return Pools(loss, max(0, layer), 0, cost.saved * workload.model.num_layers)


def _offloaded(workload: Workload, cost: LayerCost) -> int:
    """Checkpoints in host memory: all but the two that are on their way."""
    return cost.checkpoint * max(0, workload.model.num_layers - 2) if offloads(workload) else 0
