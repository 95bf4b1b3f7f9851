"""What sharding (FSDP2) takes off each of several processes, and what it adds: derived, and held against 2-GPU runs.

Each process keeps one part in n of weights, adapter, gradients and optimizer states (Zhao et al. 2023,
arXiv:2304.11277); the scales of 4-bit weights stay whole. At the peak two layers are gathered, the one that computes
and the next one, which is fetched meanwhile, and beside them embeddings, head and last norm, which no layer holds and
which stay gathered from forward to backward. Where every weight is trained, a layer's gradients are whole until they
are reduced.

Two A100 (`benchmarks/reference/memory_a100_two.csv`, FSDP1 with full sharding): `python -m benchmarks.shards`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recommender.config.schema import FinetuneConfig
from recommender.model.spec import ModelSpec

SCALES = {True: 0.127 / 4.127, False: 0.5 / 4.5}
"""Share of scales in 4-bit weights, with and without double quantisation: bits a parameter (Dettmers et al. 2023)."""
SHARDED = ("weights", "adapter", "gradients", "optimizer")
LAYERS_GATHERED = 2
HALF, WHOLE = 2, 4


@dataclass(frozen=True, slots=True)
class Shards:
    """Bytes of one process, against those of one that has everything."""

    less: Mapping[str, int]
    """By part: what the other processes have of it, or the host."""
    gathered: int
    """Whole weights and gradients at the peak."""
    moved: int
    """Sent and received by each process in an optimizer step."""

    @property
    def more(self) -> int:
        """What is added to the peak; below 0 where it is less."""
        return self.gathered - sum(self.less.values())


def shards_of(config: FinetuneConfig, model: ModelSpec, parts: Mapping[str, int], processes: int) -> Shards:
    """Work out the shards of a configuration.

    Args:
        config: What would be trained, as each process does it.
        model: The architecture.
        parts: Bytes of a process that has everything, by part.
        processes: How many share it.
    """
    full, quantised = config.method == "full", config.quantization.bits == 4
    width = WHOLE if config.training.precision == "fp32" else HALF
    root = model.embedding_parameters * (1 if model.tied else 2) * width
    layers = max(0, parts["weights"] - root)
    scales = round(layers * SCALES[config.quantization.double_quant]) if quantised else 0
    layer = (layers - scales) // model.num_layers
    away = (processes - 1) / processes
    less = {name: round(parts.get(name, 0) * away) for name in SHARDED}
    less["weights"] = round((parts["weights"] - scales) * away)
    if config.launch.offload != "none":
        less["weights"] = parts["weights"] - scales
    if config.launch.offload == "all":
        less |= {name: parts.get(name, 0) for name in SHARDED[1:]}
    gathered = LAYERS_GATHERED * layer + root + (layer + root if full else 0)
    steps = config.training.gradient_accumulation_steps
    gradients = parts.get("gradients") or parts.get("adapter") or 0
    moved = round(away * steps * (2 * parts["weights"] + gradients))
    return Shards(less, gathered, moved)
