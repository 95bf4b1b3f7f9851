"""The peak of a step, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.case import Case
from recommender.memory.layer import checkpoint_bytes, dequantised_bytes, hump_bytes, saved_bytes
from recommender.memory.loss import kept_bytes, loss_bytes
from recommender.memory.process import context_bytes, reserved_beyond, workspace_bytes
from recommender.memory.weights import adapter_bytes, gradient_bytes, optimizer_bytes, weights_bytes

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


def price(case: Case) -> Price:
    """Price the worst moment of a step.

    Peak = resident + max over moments. Under gradient checkpointing the moments are the loss (every checkpoint, the
    loss) and one layer's backward pass (checkpoints, that layer, what of the loss is still alive); without it the
    loss and the last layer's backward pass (every layer's activations).
    """
    training, layers = case.config.training, case.model.num_layers
    on_device, paged = optimizer_bytes(case)
    gradients = gradient_bytes(case)
    kept = (checkpoint_bytes if training.gradient_checkpointing else saved_bytes)(case) * layers
    offloaded = 0
    if training.activation_offloading and not case.on_cpu:
        offloaded, kept = kept, min(kept, 2 * kept // layers)
    extra = hump_bytes(case) - (0 if training.gradient_checkpointing else saved_bytes(case))
    at_loss, at_layer = (kept, loss_bytes(case)), (kept + extra + dequantised_bytes(case), kept_bytes(case))
    activations, loss = max(at_loss, at_layer, key=sum)
    parts = {
        "weights": weights_bytes(case),
        "adapter": adapter_bytes(case),
        "gradients": gradients,
        "optimizer": on_device,
        "activations": activations,
        "loss": loss,
        "workspace": workspace_bytes(case),
    }
    allocated = sum(parts.values())
    parts["allocator"] = reserved_beyond(case, allocated)
    reserved = allocated + parts["allocator"]
    parts["context"] = context_bytes(case)
    return Price(parts, allocated, reserved, reserved + parts["context"], paged + offloaded)
