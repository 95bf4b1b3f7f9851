"""FLOPs of a model and of a device, for the utilisation of the device."""

from __future__ import annotations

from recommender.config.schema import FinetuneConfig
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec


def flops_per_token(config: FinetuneConfig, spec: ModelSpec) -> float:
    """Floating-point operations of training for a token, without checkpointing's recomputation.

    Two for each weight forward, two for the gradient of its input, and two for its own gradient where it is trained
    (PaLM, arXiv:2204.02311, appendix B). Looking up an embedding is none; attention scores are left out, as they are
    small in rows of some thousand tokens.
    """
    weights = spec.total_parameters - (0 if spec.tied else spec.embedding_parameters)
    return (6.0 if config.method == "full" else 4.0) * weights


def peak_flops(config: FinetuneConfig, device: Device) -> float | None:
    """Operations a second that the device's maker states for the precision; None on a CPU or an unknown card."""
    stated = {"bf16": device.flops_bf16, "fp16": device.flops_fp16, "fp32": device.flops_fp32}
    return stated[config.training.precision] if device.kind == "cuda" else None
