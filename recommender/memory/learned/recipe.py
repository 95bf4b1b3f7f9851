"""The recipe of a workload: all on which the operations of a step depend, and no size of a micro-batch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from recommender.machine.capability import has_flash_kernel
from recommender.memory.layers.attention import masked
from recommender.memory.loss import kept_bytes
from recommender.memory.workload import FP32, Workload
from recommender.model.experts import adapts_experts


@dataclass(frozen=True, slots=True)
class RecipeKey:
    """What a learned tape holds for. Optimizer, accumulation, offloading and all sizes are arithmetic beside it."""

    method: str
    bits: int | None
    double_quant: bool
    experts: str
    """How a mixture's experts are held and whether they are adapted."""
    checkpointing: bool
    attention: str
    flash: bool
    """Whether SDPA has flash's kernel on the card."""
    loss: str
    shifted: bool
    keeps_logits: bool
    precision: str
    compute: int
    autocast: bool
    plain: int
    adapter: int
    targets: tuple[str, ...]
    ranks: tuple[tuple[str, int], ...]
    """Of `rank_pattern`."""
    saved: tuple[str, ...]
    """`modules_to_save`."""
    bias: str
    dropout: bool
    dora: bool
    noise: bool
    packed: bool
    """Whether documents of one row are told apart by a mask."""
    on_cpu: bool

    def text(self) -> str:
        """The key as text: the same for the same recipe."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def recipe_of(workload: Workload) -> RecipeKey:
    """The recipe of a workload."""
    config, training, lora = workload.config, workload.config.training, workload.config.lora
    eager = training.attn_implementation == "eager"
    sdpa = training.attn_implementation == "sdpa" and not workload.on_cpu
    return RecipeKey(
        method=config.method,
        bits=workload.bits,
        double_quant=workload.bits == 4 and config.quantization.double_quant,
        experts=_experts(workload),
        checkpointing=training.gradient_checkpointing,
        attention="flash" if training.attn_implementation.startswith("flash") else training.attn_implementation,
        flash=sdpa and has_flash_kernel(workload.device.compute_capability),
        loss=workload.stack.loss,
        shifted=workload.stack.shifted_copy,
        keeps_logits=kept_bytes(workload) > 0,
        # Halves are of one size; CUDA's softmax alone tells them apart.
        precision="fp32" if workload.compute == FP32 else training.precision if eager else "half",
        compute=workload.compute,
        autocast=workload.autocast,
        plain=workload.plain,
        adapter=workload.adapter,
        targets=tuple(sorted(target.linear.name for target in workload.targets)),
        ranks=tuple(sorted(lora.rank_pattern.items())) if config.method != "full" else (),
        saved=tuple(sorted(set(lora.modules_to_save))) if config.method != "full" else (),
        bias=lora.bias if config.method != "full" else "none",
        dropout=lora.lora_dropout > 0 and config.method != "full",
        dora=lora.use_dora and config.method != "full",
        noise=training.neftune_noise_alpha is not None,
        packed=workload.packed and masked(workload),
        on_cpu=workload.on_cpu,
    )


def _experts(workload: Workload) -> str:
    """Empty for a model without a mixture."""
    if not workload.model.num_experts:
        return ""
    held = "packed" if workload.packs_experts else "plain"
    return f"{held} {'adapted' if adapts_experts(workload.config) else 'frozen'}"
