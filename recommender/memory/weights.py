"""Bytes that stay on the device from load to end: weights by kind, adapter, optimizer states."""

from __future__ import annotations

from collections import Counter

from recommender.memory.workload import FP32, Workload
from recommender.model.anatomy import KeptLinear
from recommender.model.linear import Linear
from recommender.model.spec import ModelSpec

NF4_BLOCK = 64
"""Parameters that share one scale (bitsandbytes, `quantize_4bit` blocksize)."""
NESTED_BLOCK = 256
"""Scales that share one fp32 scale under double quantisation."""
OPTIM_BLOCK = 256
"""Values that share one fp32 scale in an 8-bit optimizer state."""
SMALLEST_8BIT = 4096
"""Tensors with fewer values keep fp32 states (bitsandbytes `min_8bit_size`)."""
SMALLEST_PAGED = 100_000
"""Tensors with fewer values are not paged (bitsandbytes `get_state_buffer`)."""


def linear_bytes_per_parameter(bits: int | None, double_quant: bool, plain: int) -> float:
    """Bytes that one weight of a linear layer takes.

    4 bits: half a byte, and an fp32 scale a block of 64 (1/16 byte); double quantisation makes the scale one byte
    and adds an fp32 scale a 256 of them: 0.5 + 1/64 + 4/(64·256) = 0.5159 (Dettmers et al. 2023, section 3). 8 bits:
    one byte; the scale is one fp32 a row and counted with the row.
    """
    if bits is None:
        return plain
    if bits == 8:
        return 1.0
    scale = 1 / NF4_BLOCK + FP32 / (NF4_BLOCK * NESTED_BLOCK) if double_quant else FP32 / NF4_BLOCK
    return 0.5 + scale


def weights_bytes(workload: Workload) -> int:
    """All parameters of the base model: linear layers and 4-bit experts as quantised, everything else plain.

    Head, embedding, norms, biases and routers are left as they are, and so are experts under 8 bits.
    """
    linear = sum([x.count * x.in_features * x.out_features for x in _quantisable(workload.model)])
    experts = sum([x.parameters for x in workload.experts])
    plain = workload.model.total_parameters - linear - experts
    return _linear_bytes(workload, linear) + expert_bytes(workload, experts) + plain * workload.plain


def expert_bytes(workload: Workload, weights: int) -> int:
    """Bytes of so many weights of fused experts: packed as the linear layers are, or plain."""
    if not workload.packs_experts:
        return weights * workload.plain
    return round(weights * linear_bytes_per_parameter(4, workload.config.quantization.double_quant, workload.plain))


def weight_terms(workload: Workload) -> tuple[tuple[str, int], ...]:
    """The same by kind."""
    model = workload.model
    linear = sum(x.count * x.in_features * x.out_features for x in _quantisable(model))
    biases = sum(x.parameters for x in _quantisable(model)) - linear
    experts = sum(x.parameters for x in workload.experts)
    kinds = (
        ("embedding", model.embedding_parameters),
        ("head", model.head_parameters),
        ("norms", model.norm_parameters),
        ("biases", biases),
        ("routers" if experts else "other weights", model.other_parameters - experts),
    )
    kind = {4: "linear layers in NF4 with their scales", 8: "linear layers in 8 bits with their scales"}
    named = sum(count for _, count in kinds) + linear + experts
    return (
        (kind.get(workload.bits or 0, "linear layers"), _linear_bytes(workload, linear)),
        (
            "experts in NF4 with their scales" if workload.packs_experts else "experts, fused",
            expert_bytes(workload, experts),
        ),
        *((name, count * workload.plain) for name, count in kinds),
        ("others", (model.total_parameters - named) * workload.plain),
    )


def _quantisable(model: ModelSpec) -> tuple[Linear | KeptLinear, ...]:
    """The linear layers that bitsandbytes replaces: those that can have an adapter, and some that cannot."""
    if model.anatomy is None:
        return model.linears
    return (*model.linears, *(kept for kept in model.anatomy.kept_linears if kept.quantised))


def _linear_bytes(workload: Workload, weights: int) -> int:
    each = linear_bytes_per_parameter(workload.bits, workload.config.quantization.double_quant, workload.plain)
    rows = [x.count * x.out_features * FP32 for x in _quantisable(workload.model)] if workload.bits == 8 else []
    return round(weights * each) + sum(rows)


def trainable_parameters(workload: Workload) -> int:
    """Parameters that get gradients."""
    if workload.config.method == "full":
        return workload.model.total_parameters
    return adapter_parameters(workload) + saved_parameters(workload) + bias_parameters(workload)


def adapter_parameters(workload: Workload) -> int:
    """LoRA's A and B, and DoRA's magnitudes (one a row of the adapted weight)."""
    low_rank = workload.adapter_parameters
    if not workload.config.lora.use_dora:
        return low_rank
    return low_rank + sum(target.linear.count * target.linear.out_features for target in workload.targets)


def saved_parameters(workload: Workload) -> int:
    """Parameters of `modules_to_save`: copies that are trained in full beside the frozen ones."""
    names = workload.config.lora.modules_to_save
    if not names:
        return 0
    model = workload.model
    embedding = model.vocab_size * model.hidden_size
    named = {"embed_tokens": embedding, "lm_head": embedding, "norm": model.hidden_size}
    # Layers of one name may have several shapes (DeepSeek's dense layers and shared experts).
    linears = Counter[str]()
    for linear in model.linears:
        linears[linear.name] += linear.parameters
    return sum(named.get(name, linears[name]) for name in set(names))


def bias_parameters(workload: Workload) -> int:
    """Biases that `lora.bias` trains; they are part of the base model's weights already."""
    bias = workload.config.lora.bias
    if bias == "none":
        return 0
    linears = workload.model.linears if bias == "all" else tuple(target.linear for target in workload.targets)
    return sum(linear.count * linear.out_features for linear in linears if linear.bias)


def adapter_bytes(workload: Workload) -> int:
    """The adapter and the trained copies on the device; none in a full fine-tune."""
    if workload.config.method == "full":
        return 0
    return (adapter_parameters(workload) + saved_parameters(workload)) * workload.adapter


def gradient_bytes(workload: Workload) -> int:
    """One gradient a trained parameter, in its dtype."""
    return trainable_parameters(workload) * workload.adapter


def optimizer_bytes(workload: Workload) -> tuple[int, int]:
    """Optimizer states on the device, and those in paged (host) memory.

    AdamW keeps two states a parameter in its dtype. In 8 bits each is a byte and an fp32 scale a 256 values. Paged
    states live in unified memory and move to the device when used.
    """
    optim, parameters = workload.config.training.optim, trainable_parameters(workload)
    if optim == "sgd":
        return 0, 0
    if optim in ("adamw_torch", "adamw_torch_fused"):
        return 2 * workload.adapter * parameters, 0
    per_parameter = 2 * FP32 if optim == "paged_adamw_32bit" else 2 * (1 + FP32 / OPTIM_BLOCK)
    total = round(per_parameter * parameters)
    if not optim.startswith("paged"):
        return total, 0
    paged = round(per_parameter * _paged_parameters(workload))
    return total - paged, paged


def _paged_parameters(workload: Workload) -> int:
    """Trained parameters beyond the first 100 000 of each tensor.

    A tensor that is just too small to be paged keeps its states on the device; a larger one is counted with as much
    there, which is its working set while it is updated, so that a higher rank never seems to need less.
    """
    model = workload.model
    if workload.config.method == "full":
        tensors = 2 + sum(linear.count for linear in model.linears)
        large = model.total_parameters - model.norm_parameters
        return max(0, large - tensors * SMALLEST_PAGED)
    beyond = sum(
        target.linear.count * max(0, target.r * width - SMALLEST_PAGED)
        for target in workload.targets
        for width in (target.linear.in_features, target.linear.out_features)
    )
    beyond += sum(
        weight.count * max(0, workload.expert_rank * weight.experts * width - SMALLEST_PAGED)
        for weight in workload.experts
        for width in (weight.in_features, weight.out_features)
    )
    return beyond + max(0, saved_parameters(workload) - 2 * SMALLEST_PAGED)


def update_bytes(workload: Workload) -> int:
    """Bytes of the optimizer's step beside its states: unfused AdamW takes the square roots of the second moments.

    On CUDA of all weights at once (`foreach`); on a CPU, where that is not the default, of one tensor at a time, and
    their quotient beside them (`_single_tensor_adamw`, torch 2.13).
    """
    if workload.config.training.optim != "adamw_torch":
        return 0
    return 2 * workload.adapter * _largest_trained(workload) if workload.on_cpu else gradient_bytes(workload)


def _largest_trained(workload: Workload) -> int:
    """Parameters of the largest tensor that is trained."""
    model = workload.model
    embedding = model.vocab_size * model.hidden_size
    linears: dict[str, int] = {}
    for x in model.linears:
        linears[x.name] = max(linears.get(x.name, 0), x.in_features * x.out_features)
    if workload.config.method == "full":
        return max(embedding, *linears.values())
    factors = [x.r * max(x.linear.in_features, x.linear.out_features) for x in workload.targets]
    factors += [workload.expert_rank * x.experts * max(x.in_features, x.out_features) for x in workload.experts]
    saved = [linears.get(name, embedding) for name in workload.config.lora.modules_to_save]
    return max([*factors, *saved], default=0)
