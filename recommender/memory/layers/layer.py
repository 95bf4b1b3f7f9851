"""The bytes that one decoder layer keeps for its backward pass, and its peak in that pass.

Its operations in order, derived from Transformers 5.23 (`modeling_llama.py` and its siblings) and held against a trace
of them: docs/memory.md has the tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.layers.attention import attention_ops, expands_keys, mask_bytes, own_mask_bytes
from recommender.memory.layers.dtypes import Dtypes
from recommender.memory.layers.experts import unpacked_bytes
from recommender.memory.layers.linear import Input, Linears
from recommender.memory.layers.mlp import mlp_ops
from recommender.memory.layers.tape import Op, Peaks, peaks_of
from recommender.memory.workload import FP32, Workload
from recommender.model.family_table import family_of


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Bytes of one layer for the whole micro-batch."""

    checkpoint: int
    """Its input: all that gradient checkpointing keeps of it."""
    saved: int
    """Bytes that its forward pass keeps for its backward pass, without checkpointing."""
    held: int
    """Bytes of it that stay until the whole graph goes, checkpointing or not."""
    unsaved_first: int
    """Bytes that the first layer keeps less than others: nothing before its first trained weight needs a gradient."""
    peak: int
    """At the worst moment of its forward or backward pass, what it keeps included, without checkpointing."""
    recomputed_peak: int
    """The same when it is computed again from its checkpoint; 0 without checkpointing."""
    gradient: int
    """Gradients of trained weights that its backward pass leaves; 0 where those of an earlier micro-batch are there."""
    mask: int
    """Attention masks that all layers share: checkpoints keep them, and no operation does."""


def layer_cost(workload: Workload) -> LayerCost:
    """The cost of one layer of this workload."""
    types, checkpointed = Dtypes.of(workload), workload.config.training.gradient_checkpointing
    tape, mask = _operations(workload, types), mask_bytes(workload, types)
    peaks = peaks_of(tape)
    stream = workload.tokens * workload.model.hidden_size * types.stream
    # In fp32 the first norm keeps the layer's input itself, which is its checkpoint.
    again = stream if types.stream == FP32 and tape[0].name == "norm" else 0
    backward = peaks.backward - peaks.held if checkpointed else peaks.backward
    return LayerCost(
        checkpoint=stream,
        saved=peaks.kept,
        held=peaks.held,
        unsaved_first=_before_training(tape, workload),
        peak=max(peaks.forward + (0 if checkpointed else mask), peaks.backward),
        recomputed_peak=max(_again(workload, types, tape, peaks, backward), backward) - again if checkpointed else 0,
        gradient=peaks.gradient,
        mask=mask if checkpointed else 0,
    )


def waiting_bytes(workload: Workload, types: Dtypes) -> tuple[int, bool]:
    """Gradients that wait while a layer is computed again, and whether that pass ends within its last operation.

    That of its output, and what the backward pass makes of it before it asks for the first tensor that was not kept:
    a copy in fp32 before a norm, one for each chosen expert of a fused mixture, else the adapter's share of it. The
    pass ends with the last tensor that is asked for; where neither comes last, the last operation's own results, which
    are of the same size as what waits, are not made.
    """
    stream = workload.tokens * workload.model.hidden_size
    if family_of(workload.model.model_type).norm_position != "before":
        return stream * (types.stream + FP32), False
    if workload.model.num_experts:
        fused = workload.stack.fused_experts or not workload.packs_experts
        each = workload.plain * workload.model.experts_per_token if fused else 0
        return stream * (types.stream + each), False
    adapted = any(target.linear.name == "down_proj" for target in workload.targets)
    return stream * (types.stream + (types.lora if adapted else 0)), True


def _again(workload: Workload, types: Dtypes, tape: list[Op], peaks: Peaks, backward: int) -> int:
    """The worst of a layer's second forward pass."""
    waiting, ends_early = waiting_bytes(workload, types)
    forward = peaks.forward
    if not ends_early:
        return forward + waiting
    if forward + waiting <= backward:
        return forward
    last_is_worst = peaks.kept + tape[-1].forward == forward
    return max(forward, (peaks_of(tape[:-1]).forward if last_is_worst else forward) + waiting)


def layer_tape(workload: Workload, types: Dtypes) -> list[Op]:
    """The operations of a layer, each with the masks that are there in the forward pass and no checkpoint keeps."""
    tape = _operations(workload, types)
    mask = 0 if workload.config.training.gradient_checkpointing else mask_bytes(workload, types)
    return [op._replace(forward=op.forward + mask) for op in tape] if mask else tape


def _operations(workload: Workload, types: Dtypes) -> list[Op]:
    """Two halves, attention and MLP, each a norm (before, in OLMo 2 after, in Gemma 2 and 3 on both) and a residual."""
    linears = Linears(workload, types)
    position = family_of(workload.model.model_type).norm_position
    stream = workload.tokens * workload.model.hidden_size * types.stream
    tape: list[Op] = []
    norm = _norm(workload, types, backward=stream)
    for part in (attention_ops, mlp_ops):
        x = Input(workload.model.hidden_size, types.stream)
        if position != "after":
            tape.append(norm)
        tape += part(workload, types, linears, x, stream)
        if position != "before":
            tape.append(norm)
    return tape


def forward_bytes(workload: Workload) -> int:
    """Bytes of one layer's forward pass when nothing is kept for a backward pass: evaluation.

    Residual and normed input throughout; then the MLP's three tensors, or attention's with eager attention's scores
    (product and softmax), and a linear layer unpacked for its product; or a product of experts, some of them unpacked.
    """
    model, types, tokens = workload.model, Dtypes.of(workload), workload.tokens
    query, keys = model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
    attention = types.attention * (2 * query + 2 * (query if expands_keys(workload, types) else keys))
    if workload.config.training.attn_implementation == "eager":
        attention += model.num_heads * workload.length * (types.attention + FP32)
    inner = 3 * types.linear * model.intermediate_size
    if model.num_experts:
        inner = workload.plain * model.experts_per_token * (3 * model.moe_intermediate_size + 2 * model.hidden_size)
    each = 2 * model.hidden_size * types.stream + own_mask_bytes(workload, types)
    chosen = tokens * model.experts_per_token * workload.plain
    # Other stacks unpack one linear layer of one expert.
    fused = workload.experts if workload.stack.fused_experts else ()
    experts = [chosen * (x.in_features + x.out_features) + unpacked_bytes(workload, x) for x in fused]
    unpacked = 0
    if workload.bits:
        unpacked = workload.compute * max(linear.in_features * linear.out_features for linear in model.linears)
    at_work = max([tokens * max(attention, inner) + unpacked, *experts])
    return tokens * each + mask_bytes(workload, types) + at_work


def _norm(workload: Workload, types: Dtypes, backward: int) -> Op:
    """Keeps its input in fp32; where its weight is trained, the normed input too.

    Backward: the gradient in fp32 twice, its product with the input, and what it gives.
    """
    wide = workload.tokens * workload.model.hidden_size
    kept = FP32 * wide
    if workload.config.method == "full":
        kept += (FP32 if family_of(workload.model.model_type).wide_norms else types.stream) * wide
    return Op("norm", kept=kept, forward=2 * FP32 * wide, backward=backward + 4 * FP32 * wide)


def _before_training(tape: list[Op], workload: Workload) -> int:
    """Bytes kept by the operations before the first trained weight."""
    if workload.config.method == "full":
        return 0
    kept = 0
    for op in tape:
        if op.name.endswith(".lora"):
            break
        kept += op.kept
    return kept
