"""The memory of each phase of a run, from load to merge: peak bytes that PyTorch's allocator has handed out.

The step's own phases come from `recommender.memory.price`; these are the others.
"""

from __future__ import annotations

from recommender.memory.layers.layer import forward_bytes
from recommender.memory.loss import evaluation_bytes
from recommender.memory.workload import FP32, HALF, Workload


def load_bytes(workload: Workload) -> int:
    """Beside the weights while they are loaded: the largest tensor that is changed on its way.

    bitsandbytes quantises one linear layer at a time from its 16-bit copy on the device, our worker one fused weight of
    a layer's experts;
    `prepare_model_for_kbit_training` casts one parameter at a time, of which the embedding is the largest. Weights
    that stay as they are go straight to their place.
    """
    model = workload.model
    quantised = HALF * max([x.in_features * x.out_features for x in model.linears], default=0) if workload.bits else 0
    if workload.packs_experts and workload.stack.fused_experts:
        # What was read of a layer's fused weight, and the one expert of it that is being packed.
        quantised = max([quantised, *(HALF * (x.experts + 1) * x.values for x in workload.experts)])
    upcast = HALF * model.embedding_parameters if workload.bits and workload.plain == FP32 else 0
    return max(quantised, upcast)


def initialisation_bytes(workload: Workload) -> int:
    """Beside weights and adapter while the adapter is initialised, one layer after the other, in fp32.

    m×n the largest adapted weight, k the smaller of m and n (PEFT 0.21, `lora/layer.py`, `loftq_utils.py`):

    - PiSSA: the weight, all singular vectors on both sides (m·k and k·n), the product of B and A, the difference.
    - PiSSA by iteration: the weight, the product, the difference; its vectors are as small as the adapter.
    - OLoRA: the weight, Q and R, the product; and the unpacked 16-bit weight of a quantised layer.
    - LoftQ: the weight, its dequantised copy, the residual, the decomposition's own copy of it, and its vectors.

    Ordinary initialisation fills A and B in place. The solvers' own workspace is not known.
    """
    kind = workload.config.lora.init_lora_weights
    if not isinstance(kind, str) or not workload.targets:
        return 0
    return max(_decomposed(kind, x.linear.out_features, x.linear.in_features, workload.bits) for x in workload.targets)


def _decomposed(kind: str, m: int, n: int, bits: int | None) -> int:
    whole, square = m * n, min(m, n) ** 2
    if kind == "pissa":
        return FP32 * (4 * whole + square)
    if kind.startswith("pissa_niter"):
        return FP32 * 3 * whole
    if kind == "olora":
        return FP32 * (3 * whole + square) + (HALF * whole if bits else 0)
    return FP32 * (5 * whole + square) if kind == "loftq" else 0


def evaluation_phase_bytes(workload: Workload, loss: int) -> int:
    """Beside what is resident during an evaluation: one layer's forward pass and the loss, no gradient.

    Args:
        workload: What is priced.
        loss: Bytes of the loss in training.
    """
    tokens, model = workload.tokens, workload.model
    return max(forward_bytes(workload), evaluation_bytes(workload, loss) + tokens * model.hidden_size * workload.plain)


def merge_bytes(workload: Workload) -> int:
    """All of a merge into a 16-bit base, in a process of its own: the base, the adapter, one layer's update and sum."""
    if workload.config.method == "full":
        return 0
    adapter = workload.adapter * workload.adapter_parameters
    update = max([x.linear.in_features * x.linear.out_features for x in workload.targets], default=0)
    return HALF * workload.model.total_parameters + adapter + (FP32 + HALF) * update
