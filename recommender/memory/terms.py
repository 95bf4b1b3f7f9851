"""The estimate line by line: every term of the worst moment under its own name, adding up to the parts exactly.

What `recommender.memory.price` folds together for speed is spelled out here for a person, or for an expert who wants
to prove it wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.machine.facts import Device
from recommender.memory.layers.dtypes import Dtypes
from recommender.memory.layers.layer import layer_cost, layer_tape, waiting_bytes
from recommender.memory.layers.tape import worst_of
from recommender.memory.loss import loss_terms
from recommender.memory.moments import Moment, offloads
from recommender.memory.price import price, step_of
from recommender.memory.process import cached_beyond, left_bytes
from recommender.memory.stacks import stack_for
from recommender.memory.weights import (
    adapter_parameters,
    expert_bytes,
    optimizer_bytes,
    saved_parameters,
    weight_terms,
)
from recommender.memory.workload import FP32, Workload, resolve_workload, share_alike
from recommender.model.spec import ModelSpec
from recommender.units import gib


@dataclass(frozen=True, slots=True)
class Term:
    """One line of the breakdown."""

    part: str
    """Of `Estimate.parts`."""
    name: str
    nbytes: int


def breakdown(
    config: FinetuneConfig,
    model: ModelSpec,
    device: Device,
    data: DataProfile | None = None,
    *,
    stack: str | None = None,
) -> tuple[Term, ...]:
    """The terms of a configuration's estimate by the formula: see `recommender.estimate.estimate.estimate`.

    Raises:
        InputError: What `estimate` refuses.
    """
    return terms_of(resolve_workload(config, model, device, data, stack_for(config, stack)))


def experts_apart(
    config: FinetuneConfig,
    model: ModelSpec,
    device: Device,
    data: DataProfile | None = None,
    *,
    stack: str | None = None,
) -> str:
    """A sentence on a mixture's experts, their bytes, and how they are held; empty where there are none.

    Raises:
        InputError: What `estimate` refuses.
    """
    if not model.num_experts:
        return ""
    workload = resolve_workload(config, model, device, data, stack_for(config, stack))
    held = expert_bytes(workload, sum(x.parameters for x in workload.experts))
    if not workload.bits:
        return ""
    how = "are in 4 bits too" if workload.packs_experts else f"stay in {8 * workload.plain} bits"
    return f"{gib(held)} of the weights are experts, which {how}"


def terms_of(workload: Workload) -> tuple[Term, ...]:
    """Every term at the worst moment; those of a part add up to it."""
    priced = price(workload)
    worst = max(step_of(workload).moments, key=lambda moment: moment.total)
    lines = [Term("weights", name, nbytes) for name, nbytes in weight_terms(workload)]
    lines += [Term("adapter", name, nbytes) for name, nbytes in _adapter(workload)]
    if "initialisation" in priced.parts:
        lines.append(Term("initialisation", "the largest tensor on its way", priced.parts["initialisation"]))
    else:
        lines += _moving(workload, worst)
    left = priced.left.middle
    lines += [
        Term("workspace", "cuBLAS, two threads' handles", priced.parts["workspace"]),
        Term("allocator", _allocator(workload), priced.parts["allocator"] - left),
        Term("allocator", "blocks that shorter micro-batches leave in a mixed run, given back too", left),
        Term("context", "CUDA context and loaded kernels", priced.parts["context"]),
    ]
    return tuple(line for line in lines if line.nbytes)


def _moving(workload: Workload, worst: Moment) -> Iterator[Term]:
    """Gradients, states, activations and loss of a moment of the step."""
    yield Term("gradients", "of trained weights, at that moment", worst.gradients)
    states, _ = optimizer_bytes(workload)
    yield Term("optimizer", f"states of {workload.config.training.optim}", states)
    yield Term("optimizer", "square roots of all at once", worst.optimizer)
    for name, nbytes in _activations(workload, worst):
        yield Term("activations", name, nbytes)
    if workload.model.anatomy is not None:
        yield Term("loss", "logits, and what the loss makes of them", worst.loss)
    elif worst.name == "loss":
        for name, nbytes in loss_terms(workload):
            yield Term("loss", name, nbytes)
    else:
        yield Term("loss", "logits that outlive the loss", worst.loss)


def _adapter(workload: Workload) -> Iterator[tuple[str, int]]:
    if workload.config.method == "full":
        return
    for target in workload.targets:
        yield f"A and B of {target.linear.name}, rank {target.r}", target.parameters * workload.adapter
    for weight in workload.experts:
        parameters = weight.adapter_parameters(workload.expert_rank)
        yield f"A and B of each expert's {weight.name}, rank {workload.expert_rank}", parameters * workload.adapter
    yield "DoRA's magnitudes", (adapter_parameters(workload) - workload.adapter_parameters) * workload.adapter
    yield "trained copies of modules_to_save", saved_parameters(workload) * workload.adapter


def _activations(workload: Workload, worst: Moment) -> Iterator[tuple[str, int]]:
    """The terms of the layers' activations: their inputs or all that they keep, and the layer that is at work."""
    if workload.model.anatomy is not None:
        yield _learned_name(workload, worst), worst.activations
        return
    cost, layers = layer_cost(workload), workload.model.num_layers
    if worst.name in ("embedding", "update"):
        yield "gradients of the embedding and its output", worst.activations
        return
    yield "attention mask", cost.mask
    at_work = worst.name != "loss"
    if workload.config.training.gradient_checkpointing:
        inputs = 1 if worst.name == "first layer" else min(2, layers) if offloads(workload) else layers
        yield f"inputs of {inputs} layers" if inputs > 1 else "input of a layer", cost.checkpoint * inputs
        yield "inputs that 8-bit products hold on to", cost.held * layers
    else:
        others = layers if not at_work else layers - 1 if worst.name == "last layer" else 0
        missing = cost.unsaved_first if layers > 1 and (others or worst.name == "first layer") else 0
        yield f"kept by {others} {'other ' if at_work else ''}layers", cost.saved * others - missing
        if worst.name == "first layer" and layers > 1:
            yield "inputs that 8-bit products hold on to", cost.held * (layers - 1)
    if at_work:
        yield from _layer(workload)


def _learned_name(workload: Workload, worst: Moment) -> str:
    """The name of a learned formula's moment: its operations have no names."""
    if worst.layer < 0:
        return {"update": "activations while weights are updated", "backward": "activations behind the layers"}.get(
            worst.name, "what all layers keep, and the loss's own activations"
        )
    return f"kept, and in flight in the {worst.name} pass of layer {worst.layer + 1} of {workload.model.num_layers}"


def _layer(workload: Workload) -> Iterator[tuple[str, int]]:
    """The layer that is at work: what each operation up to the worst one keeps, and what is in flight there."""
    types = Dtypes.of(workload)
    tape = layer_tape(workload, types)
    checkpointed = workload.config.training.gradient_checkpointing
    waiting, ends_early = waiting_bytes(workload, types) if checkpointed else (0, False)
    worst = worst_of(tape, holds=not checkpointed, waiting=waiting, ends_early=ends_early)
    again = workload.tokens * workload.model.hidden_size * types.stream
    held = 0
    for index, op in enumerate(tape[: worst.place + 1]):
        twice = checkpointed and not index and types.stream == FP32 and op.name == "norm"
        yield f"kept by {op.name}", op.kept - (again if twice else 0)
        held += op.held
    if worst.backward and not checkpointed:
        held = sum(op.held for op in tape)
    yield "held by 8-bit products of this layer", held if not (worst.backward and checkpointed) else 0
    op = tape[worst.place]
    way = "backward" if worst.backward else "forward"
    yield f"in flight in the {way} pass of {op.name}", op.backward if worst.backward else op.forward
    yield "gradients that wait while the layer is computed again", worst.waiting
    yield "gradients that this layer has left", worst.gradient


def _allocator(workload: Workload) -> str:
    if workload.on_cpu:
        return "libraries, and blocks that the C library holds"
    if not workload.stack.expandable_segments:
        return "cached blocks that nothing reuses, given back where memory is short"
    fixed = replace(
        workload,
        alike=share_alike(workload.data, workload.length, workload.rows),
        stack=replace(workload.stack, expandable_segments=False),
    )
    both = step_of(workload).pools
    others = cached_beyond(fixed, both) + left_bytes(fixed, both, workload.device.free_bytes).middle
    return f"pages of expandable segments; others would hold about {gib(others)}"
