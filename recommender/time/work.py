"""The work of a micro-batch: FLOPs by rate, bytes through memory, launches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from recommender.memory.layers.attention import masked
from recommender.memory.moments import offloads
from recommender.memory.weights import adapter_parameters, linear_bytes_per_parameter
from recommender.memory.workload import FP32, Workload
from recommender.stages import stage_of

NORM_PASSES = 14
"""Times that a layer's hidden states go through memory, forward, in fp32: two norms (cast, square, scale, cast, weight;
read and written), two residual sums."""
ATTENTION_PASSES = 8
"""The same of queries and keys, in the compute dtype: rotation (two products, a turn, a sum)."""
MLP_PASSES = 6
"""The same of the MLP's width: activation and product, read and written, and the products' outputs."""
SCORE_PASSES = 12
"""The same of eager attention's scores: scale, mask, softmax, cast, product."""
ADAPTER_PASSES = 8
"""The same of an adapted layer's output: product, scale, sum and, in PEFT's 4-bit layer, a copy; of its input 2."""
DORA_PASSES = 4
"""Additional tensors of an adapted layer's output size with DoRA: the base's result scaled, the adapter's scaled twice,
summed."""
LOGIT_PASSES = 10
"""The same of fp32 logits where they are all built: product, cast, softmax, its gradient, cast, product."""
BACKWARD = 2
"""A backward pass's traffic against the forward pass's: each operation reads what was kept and the gradient."""
FLASH_BACKWARD = 2.5
"""FLOPs of attention's backward pass over its forward pass: five products for two (FlashAttention-2, section 3)."""


@dataclass(frozen=True, slots=True)
class Work:
    """One micro-batch, forward and backward."""

    half_flops: float
    """Matrix products in the compute dtype."""
    full_flops: float
    """Matrix products in fp32 on a device that computes in half."""
    moved_bytes: float
    layers: int
    """Layers' passes: each launches about as many kernels."""
    bus_bytes: float = 0.0
    """To host memory and back."""

    def __add__(self, other: Work) -> Work:
        """Return the work of one after the other."""
        return Work(
            self.half_flops + other.half_flops,
            self.full_flops + other.full_flops,
            self.moved_bytes + other.moved_bytes,
            self.layers + other.layers,
            self.bus_bytes + other.bus_bytes,
        )


def training_work(workload: Workload, rows: float, length: float) -> Work:
    """Work of a training micro-batch of `rows` rows padded to `length` tokens."""
    own = _trained_work(workload, rows, length)
    return reduce(Work.__add__, _reference_passes(workload, rows, length), own)


def _reference_passes(workload: Workload, rows: float, length: float) -> list[Work]:
    """Work of the passes through the model as it was before that the stage's loss takes."""
    passes = stage_of(workload.config).reference_passes
    return [_forward_work(workload, rows, length)] * passes if passes else []


def _trained_work(workload: Workload, rows: float, length: float) -> Work:
    forward, attention, moved = _forward(workload, rows * length, length)
    again = 1 if workload.config.training.gradient_checkpointing else 0
    trains_all = workload.config.method == "full"
    head, head_moved = _head(workload, rows * length)
    adapter = 2.0 * rows * length * _adapting_parameters(workload)
    linear = forward * (2 + again + (1 if trains_all else 0))
    scores = attention * (1 + again + FLASH_BACKWARD)
    unpacked = (2 + again) * _unpacked_bytes(workload)
    norms, norms_moved = _dora(workload)
    traffic = moved * (1 + again + BACKWARD) + unpacked + head_moved + (1 + again) * norms_moved
    low_rank = adapter * (3 + again) + (1 + again) * norms
    in_full = (head + scores if _computes_in_full(workload) else 0) + (low_rank if _adapts_in_full(workload) else 0)
    return Work(
        half_flops=linear + head + scores + low_rank - in_full,
        full_flops=in_full,
        moved_bytes=traffic,
        layers=workload.model.num_layers * (2 + again),
        bus_bytes=_offloaded(workload, rows * length),
    )


def forward_work(workload: Workload, rows: float, length: float) -> Work:
    """Work of an evaluated micro-batch: one forward pass and the loss."""
    own = _forward_work(workload, rows, length)
    return reduce(Work.__add__, _reference_passes(workload, rows, length), own)


def _forward_work(workload: Workload, rows: float, length: float) -> Work:
    forward, attention, moved = _forward(workload, rows * length, length)
    head, head_moved = _head(workload, rows * length)
    norms, norms_moved = _dora(workload)
    return Work(
        half_flops=forward + attention + head / 3 + norms,
        full_flops=0,
        moved_bytes=moved + _unpacked_bytes(workload) + head_moved / 2 + norms_moved,
        layers=workload.model.num_layers,
    )


def _adapting_parameters(workload: Workload) -> float:
    """Parameters of the adapter that one token passes: of experts' adapters those of the chosen ones."""
    whole = adapter_parameters(workload)
    if not workload.expert_rank:
        return whole
    experts = sum([x.adapter_parameters(workload.expert_rank) for x in workload.experts])
    return whole - experts * (1 - workload.model.experts_per_token / workload.model.num_experts)


def _forward(workload: Workload, tokens: float, length: float) -> tuple[float, float, float]:
    """FLOPs of the linear layers and of attention, and bytes moved beside their weights, in one forward pass.

    A linear layer of P weights takes 2·P FLOPs a token; causal attention 4·width·length/2 (Kaplan et al. 2020).
    """
    model = workload.model
    active = model.linear_parameters + (model.active_expert_parameters if model.num_experts else 0)
    inner = model.experts_per_token * model.moe_intermediate_size if model.num_experts else model.intermediate_size
    query = model.num_heads * model.head_dim
    keys = model.num_kv_heads * model.head_dim
    # Under the mask of packed rows no kernel skips the half that causality leaves out.
    attention = (
        (4.0 if workload.packed and masked(workload) else 2.0) * query * length * tokens * model.attention_layers
    )
    wide = max(workload.plain if workload.bits else workload.compute, workload.compute)
    low_rank = wide if workload.autocast else max(wide, workload.adapter)
    each = NORM_PASSES * model.hidden_size * FP32
    each += ATTENTION_PASSES * (query + keys) * wide
    each += MLP_PASSES * inner * wide
    if workload.config.training.attn_implementation == "eager":
        each += round(SCORE_PASSES * model.num_heads * length * wide)
    moved = float(each) * tokens * model.num_layers
    for target in workload.targets:
        linear = target.linear
        results = ADAPTER_PASSES + (DORA_PASSES if workload.config.lora.use_dora else 0)
        widths = results * linear.out_features + 2 * linear.in_features
        moved += tokens * linear.count * widths * low_rank
    return 2.0 * active * tokens, attention, moved


def _offloaded(workload: Workload, tokens: float) -> float:
    """Bytes of checkpoints that go to host memory in the forward pass and come back: all but two layers' inputs."""
    if not offloads(workload):
        return 0.0
    return 2.0 * tokens * workload.model.hidden_size * workload.plain * max(0, workload.model.num_layers - 2)


def _head(workload: Workload, tokens: float) -> tuple[float, float]:
    """FLOPs and bytes of the output head and the loss, forward and backward.

    All logits: the product and the gradient of its input. In tiles, the product again in the backward pass.
    """
    model = workload.model
    product = 2.0 * tokens * model.vocab_size * model.hidden_size
    tiled = workload.stack.loss == "fused"
    moved = tokens * model.vocab_size * (3 * 2 * workload.compute if tiled else LOGIT_PASSES * FP32)
    return product * (3 if tiled else 2), moved


def _unpacked_bytes(workload: Workload) -> float:
    """Bytes that dequantising every linear layer once moves: packed weights read, half weights written and read."""
    if workload.bits is None:
        return 0.0
    packed = linear_bytes_per_parameter(workload.bits, workload.config.quantization.double_quant, workload.plain)
    experts = sum([x.parameters for x in workload.experts]) if workload.packs_experts else 0
    return (workload.model.linear_parameters + experts) * (packed + 2 * workload.compute)


def _dora(workload: Workload) -> tuple[float, float]:
    """FLOPs and bytes of DoRA's weight norms in one forward pass: the same for few tokens as for many.

    PEFT 0.21 (`lora/dora.py`) sends an identity matrix through A and B to get the update as a matrix, casts it, adds it
    to the (dequantised) weight and takes the norm of each row; the norm gets no gradient.
    """
    if not workload.config.lora.use_dora or workload.config.method == "full":
        return 0.0, 0.0
    update = workload.compute if workload.autocast else workload.adapter
    weight = workload.compute
    # The update written, and cast; scaled (read, written); summed (two read, one written); the norm (one read).
    each = float(update + (update + weight if update != weight else 0) + 6 * weight)
    if workload.bits is not None:
        each += (
            linear_bytes_per_parameter(workload.bits, workload.config.quantization.double_quant, workload.plain)
            + weight
        )
    flops = moved = 0.0
    for target in workload.targets:
        linear = target.linear
        flops += 2.0 * linear.count * target.r * linear.in_features * (linear.in_features + linear.out_features)
        moved += linear.count * (each * linear.in_features * linear.out_features + 2 * update * linear.in_features**2)
    return flops, moved


def _computes_in_full(workload: Workload) -> bool:
    """Whether head, attention and adapters run in fp32: an upcast model without autocast."""
    return not workload.autocast and workload.plain == FP32 and workload.compute != FP32


def _adapts_in_full(workload: Workload) -> bool:
    """Whether fp32 adapters are multiplied in fp32 beside a model in half: without autocast."""
    return not workload.autocast and workload.adapter == FP32 and workload.compute != FP32
