"""A mixture's experts as operations of a tape: fused and in 16 bits, packed by our worker, or one linear layer each."""

from __future__ import annotations

from recommender.memory.layers.tape import Op
from recommender.memory.weights import NF4_BLOCK
from recommender.memory.workload import FP32, Workload
from recommender.model.experts import FusedWeight, at_once
from recommender.model.family_table import family_of


def expert_ops(workload: Workload, stream: int) -> list[Op]:
    """The operations of a layer's experts.

    Args:
        workload: What is priced.
        stream: Bytes of the hidden states: the residual in the forward pass, its gradient in the backward pass.
    """
    if workload.packs_experts and not workload.stack.fused_experts and not workload.expert_rank:
        return [_one_by_one(workload, stream)]
    return _fused(workload, stream)


def _fused(workload: Workload, stream: int) -> list[Op]:
    """Fused experts: all rows sorted by expert, as many as tokens times chosen experts, whatever the router says.

    Kept: gate and up, the activation, and the outputs, which the router's weights are multiplied with; where experts
    are trained, the inputs of both products. gpt-oss clamps gate and up and keeps six inner widths; its biases are
    gathered for every row. Of 4-bit experts a product unpacks one group at a time, in both passes.
    """
    model = workload.model
    rows = workload.tokens * model.experts_per_token * workload.plain
    wide, out = rows * model.moe_intermediate_size, rows * model.hidden_size
    family = family_of(model.model_type).experts
    clamps = family is not None and family.clamps
    ours = workload.packs_experts or workload.expert_rank > 0
    trains = workload.config.method == "full"
    biases = 2 * wide if clamps else 0
    # Transformers' function holds the rows and their biases to its end, ours does not.
    chosen = stream if ours else stream + (0 if trains else out) + biases
    weight = workload.adapter * model.num_experts * model.moe_intermediate_size * model.hidden_size if trains else 0
    left, added = (0, weight) if workload.accumulates else (weight, 0)
    first, second = (unpacked_bytes(workload, each) for each in workload.experts)
    return [
        Op(
            "experts.gate_up",
            kept=out if trains else 0,
            forward=stream + out + 2 * wide + max(biases, first),
            backward=stream + 2 * wide + out + max(out, first) + 2 * added,
            gradient=2 * left,
        ),
        *_adapter(workload, workload.experts[0], stream, out, 2 * wide),
        Op("activation", kept=2 * wide, forward=chosen + wide, backward=stream + 4 * wide),
        Op(
            "product",
            kept=(4 if clamps else 1) * wide,
            forward=chosen + wide,
            backward=stream + 3 * wide,
        ),
        Op(
            "experts.down",
            kept=out + (wide if trains else 0),
            forward=chosen + wide + second,
            backward=stream + out + wide + max(out, second) + added,
            gradient=left,
        ),
        *_adapter(workload, workload.experts[1], stream, wide, out),
    ]


def unpacked_bytes(workload: Workload, weight: FusedWeight) -> int:
    """Bytes of one group of unpacked experts, with its scales where those are unpacked as well."""
    if not workload.packs_experts:
        return 0
    group = at_once(weight.values, weight.experts, workload.compute) * weight.values
    nested = workload.config.quantization.double_quant
    return group * workload.compute + (group // NF4_BLOCK * FP32 if nested else 0)


def _adapter(workload: Workload, weight: FusedWeight, stream: int, taken: int, given: int) -> list[Op]:
    """An adapter of a fused weight: added in place to the product, for which it keeps the rows that it takes.

    B is copied so that each expert's lies by itself, A and B are cast where the products are in another dtype.
    Backward: the gradient times the scale, gradients of A, B and the rows beside those of the frozen product.
    """
    rank = workload.expert_rank
    if not rank:
        return []
    rows = workload.tokens * workload.model.experts_per_token * workload.plain
    a, b = (rank * weight.experts * width for width in (weight.in_features, weight.out_features))
    casts = workload.adapter != workload.plain
    copied = b * workload.plain + (a * workload.plain if casts else 0)
    parameters = (a + b) * workload.adapter
    return [
        Op(
            f"experts.{weight.name}.lora",
            kept=taken + rows * rank + copied,
            forward=stream + given,
            backward=stream + 2 * given + 2 * taken + (a + b) * workload.plain,
            gradient=0 if workload.accumulates else parameters,
        )
    ]


def _one_by_one(workload: Workload, stream: int) -> Op:
    """Experts of three linear layers each, one expert after the other, as Transformers 4 ran them.

    Kept of each: what gate, up and activation give, its output, which the router's weights are multiplied with, and
    what that gives: `index_add_` keeps what it adds (torch 2.13, derivatives.yaml, for that one's shape). Forward, of
    the last one: residual, hidden states and the sum of all, the product of gate and up, a weight unpacked. Backward,
    of the one that comes first: three gradients of inner width; of those after it: the hidden states' gradient twice
    while its own is added, a weight unpacked.
    """
    model = workload.model
    rows = workload.tokens * model.experts_per_token
    wide, out = rows * model.moe_intermediate_size * workload.plain, rows * model.hidden_size * workload.plain
    one = 1 / model.num_experts
    values = model.hidden_size * model.moe_intermediate_size
    unpacked = workload.compute * values
    if workload.config.quantization.double_quant:
        unpacked += values // NF4_BLOCK * FP32
    casts = rows * (model.hidden_size + model.moe_intermediate_size) * workload.compute
    cast = casts if workload.plain != workload.compute else 0
    # The norm keeps an fp32 residual itself.
    streams = 2 if workload.plain == FP32 else 3
    return Op(
        "experts",
        kept=3 * wide + 2 * out,
        forward=streams * stream + unpacked + round(one * (wide + cast)),
        backward=stream + max(round(one * (3 * wide + 2 * out)), 2 * stream + unpacked + round(one * cast)),
    )
