"""What one decoder layer keeps for its backward pass, and holds at the worst moment of it.

Derived op by op from Transformers 5.23 (`modeling_llama.py` and its siblings), PEFT 0.21 (`lora/layer.py`,
`lora/bnb.py`) and bitsandbytes 0.50 (`MatMul4Bit`), and held against a trace of them: docs/memory.md has the tables.
Figures are bytes a token of the micro-batch unless they say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.case import FP32, HALF, Case

ATTENTION_IN = frozenset({"q_proj", "k_proj", "v_proj", "qkv_proj"})
MLP_IN = frozenset({"gate_proj", "up_proj", "gate_up_proj"})
AMPERE = (8, 0)


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Bytes of one layer for the whole micro-batch."""

    checkpoint: int
    """Its input: all that gradient checkpointing keeps of it."""
    saved: int
    """What its forward pass keeps for its backward pass, without checkpointing."""
    recomputed: int
    """The same when it is recomputed from its checkpoint."""
    backward: int
    """At the worst moment of its backward pass: what is in flight beyond what it kept; may be negative where that
    moment comes after much of it was freed."""
    mask: int
    """Attention mask that all layers share."""


@dataclass(frozen=True, slots=True)
class Dtypes:
    """Bytes of an element at each place in a layer."""

    stream: int
    """Hidden states between layers."""
    linear: int
    """What a linear layer gives: bitsandbytes casts back to its input's dtype, a plain one computes in its own."""
    attention: int
    """Queries, keys, values and the attention's output: autocast makes SDPA compute in half."""
    lora: int
    """What A and B take and give."""

    @classmethod
    def of(cls, case: Case) -> Dtypes:
        """The dtypes of a case."""
        linear = case.plain if case.bits else case.compute
        flash = case.config.training.attn_implementation.startswith("flash")
        return cls(
            stream=case.plain,
            linear=linear,
            attention=case.compute if case.autocast else HALF if flash else linear,
            lora=case.compute if case.autocast else case.adapter,
        )


def layer_cost(case: Case) -> LayerCost:
    """The cost of one layer under this case."""
    model, types, tokens = case.model, Dtypes.of(case), case.tokens
    hidden = model.hidden_size
    attention, inner = _attention_saved(case, types), _mlp_saved(case, types)
    norms = _norm_count(case) * hidden * FP32
    if case.config.method == "full":
        norms += _norm_count(case) * hidden * types.stream
    down = _input_saved(case, types, "down_proj")
    saved = attention + inner + norms
    begins_with_checkpoint = types.stream == FP32
    recomputed = saved - (hidden * FP32 if begins_with_checkpoint else 0)
    gradient = hidden * types.stream
    moments = (
        gradient + _mlp_gradients(case, types) - down,
        gradient + _down_gradients(case, types) - down,
        gradient + _attention_gradients(case, types) - inner - norms // 2,
        gradient + 5 * hidden * FP32 - inner,
        gradient + _casts_in_flight(case, types),
    )
    fixed = (0, _unpacked_weight(case), 0, 0, 0)
    backward = max(tokens * moment + extra for moment, extra in zip(moments, fixed, strict=True))
    casts = _weight_casts(case)
    return LayerCost(
        checkpoint=tokens * hidden * types.stream,
        saved=tokens * saved + casts,
        recomputed=tokens * recomputed + casts,
        backward=backward + _dora_weights(case),
        mask=_mask(case, types),
    )


def forward_bytes(case: Case) -> int:
    """Bytes of one layer's forward pass when nothing is kept for a backward pass: evaluation.

    Residual and normed input throughout; then the MLP's three tensors, or attention's with eager attention's scores
    (product and softmax); a linear layer unpacked for its product.
    """
    model, types, tokens = case.model, Dtypes.of(case), case.tokens
    query, keys = model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
    attention = types.attention * (2 * query + 2 * (query if _expands_keys(case) else keys))
    if case.config.training.attn_implementation == "eager":
        attention += model.num_heads * case.length * (types.attention + FP32)
    each = 2 * model.hidden_size * types.stream + max(attention, _mlp_gradients(case, types))
    return tokens * each + _mask(case, types) + _unpacked_weight(case)


def _norm_count(case: Case) -> int:
    """Norms of hidden width in a layer (2, or 4 in Gemma 2 and 3): by the total, less the final one and the heads'."""
    model = case.model
    if not model.num_layers:
        return 2
    return max(2, min(4, (model.norm_parameters - model.hidden_size) // (model.num_layers * model.hidden_size)))


def _attention_saved(case: Case, types: Dtypes) -> int:
    """Queries, keys, values, output and the log of the sums (FlashAttention-2, algorithm 1), and the linears' inputs.

    Eager attention keeps the softmax in fp32, and a copy in half where it computes in half. Where queries, keys and
    values are slices of one product (Phi-3), all of it stays alive for the values' sake.
    """
    model = case.model
    query = model.num_heads * model.head_dim
    keys = query if _expands_keys(case) else model.num_kv_heads * model.head_dim
    kept = types.attention * (2 * query + 2 * keys) + FP32 * model.num_heads
    if any(linear.name == "qkv_proj" for linear in model.linears):
        kept += types.attention * (query + model.num_kv_heads * model.head_dim)
        kept += types.attention * query if any(target.linear.name == "o_proj" for target in case.targets) else 0
    if model.qk_norm:
        kept += FP32 * (query + model.num_kv_heads * model.head_dim)
    if case.config.training.attn_implementation == "eager":
        caps = types.attention if model.attn_logit_softcapping else 0
        kept += model.num_heads * case.length * (_score_bytes(types) + caps)
    elif _masked(case):
        kept += case.length * types.attention
    return kept + _input_saved(case, types, *ATTENTION_IN) + _output_saved(case, types)


def _score_bytes(types: Dtypes) -> int:
    return FP32 + (types.attention if types.attention != FP32 else 0)


def _mlp_saved(case: Case, types: Dtypes) -> int:
    """Gate, its activation and up; what the linears keep of their inputs. Experts keep their weighted outputs too."""
    model = case.model
    dense = types.linear * 3 * model.intermediate_size
    kept = _input_saved(case, types, *MLP_IN) + _input_saved(case, types, "down_proj")
    if not model.num_experts:
        return dense + kept
    chosen = model.experts_per_token
    return case.compute * chosen * (3 * model.moe_intermediate_size + 2 * model.hidden_size) + kept


def _input_saved(case: Case, types: Dtypes, *names: str) -> int:
    """What trained layers that share one input keep of it, and A's outputs.

    The weight gradient of A needs the input in A's dtype: the input itself where it has it, else a copy for each.
    Dropout gives each its own input, and keeps a mask of one byte. A frozen layer keeps nothing.
    """
    kept, ranks, copies = 0, 0, 0
    width = 0
    if case.config.method == "full":
        for linear in case.model.linears:
            if linear.name in names:
                copies, width = copies + 1, linear.in_features
        return width * case.compute * (1 if types.stream == case.compute else copies)
    for target in case.targets:
        if target.linear.name in names:
            copies, width, ranks = copies + 1, target.linear.in_features, ranks + target.r
            if case.config.lora.use_dora:
                kept += 2 * target.linear.out_features * types.linear
    if not copies:
        return 0
    given = types.linear if "down_proj" in names else types.stream
    if case.config.lora.lora_dropout:
        kept += copies * width * (types.lora + 1)
    else:
        kept += width * given if _shares_input(case, given) else copies * width * types.lora
    return kept + ranks * types.lora


def _output_saved(case: Case, types: Dtypes) -> int:
    """What the output projection keeps beyond the attention's output, which is kept already."""
    kept = _input_saved(case, types, "o_proj")
    if kept and not case.config.lora.lora_dropout and _shares_input(case, types.attention):
        width = case.model.num_heads * case.model.head_dim
        kept -= width * (types.stream if _shares_input(case, types.stream) else types.lora)
    return max(0, kept)


def _shares_input(case: Case, given: int) -> bool:
    """Whether A takes the very tensor that the base layer takes.

    PEFT's 4-bit layer casts only without autocast, its plain layer always, and autocast casts what is not in half.
    """
    if case.autocast:
        return given == case.compute and (bool(case.bits) or case.adapter == given)
    return given == case.adapter


def _mlp_gradients(case: Case, types: Dtypes) -> int:
    """The gradients of the product, of the activation and of up, while all three of their inputs are kept."""
    model = case.model
    if model.num_experts:
        chosen = model.experts_per_token
        return case.compute * chosen * (3 * model.moe_intermediate_size + 2 * model.hidden_size)
    return 3 * types.linear * model.intermediate_size


def _casts_in_flight(case: Case, types: Dtypes) -> int:
    """In the forward pass: PEFT's plain layers turn the product into fp32 for fp32 adapters, and autocast back."""
    model = case.model
    adapted = {target.linear.name for target in case.targets}
    if case.bits or case.adapter == case.plain or model.num_experts or case.config.method == "full":
        return 0
    residual = 2 * model.hidden_size * types.stream
    if case.autocast and "down_proj" in adapted:
        return residual + model.intermediate_size * (types.linear + case.adapter)
    if not case.autocast and "up_proj" in adapted:
        down = _input_saved(case, types, "down_proj")
        return residual + 2 * model.intermediate_size * case.adapter - down
    return 0


def _down_gradients(case: Case, types: Dtypes) -> int:
    """In the down projection's backward pass: A's gradient of the product, and the base layer's."""
    if case.model.num_experts:
        return 0
    adapted = any(target.linear.name == "down_proj" for target in case.targets)
    return case.model.intermediate_size * (case.compute + (types.lora if adapted else 0))


def _attention_gradients(case: Case, types: Dtypes) -> int:
    """Attention's backward pass, when the MLP's tensors are gone.

    SDPA: gradients of output, queries, keys and values, and an fp32 sum for the queries. Eager: the softmax keeps
    its output in fp32, gets its gradient in fp32, multiplies the two into a third (`softmax_backward` in SoftMax.cu)
    and gives the scores' gradient: in fp16 at once, of bf16 in fp32 first, because CUDA's kernel only converts fp16.
    """
    model = case.model
    query = model.num_heads * model.head_dim
    keys = query if _expands_keys(case) else model.num_kv_heads * model.head_dim
    if case.config.training.attn_implementation == "eager":
        half = types.attention if types.attention != FP32 else 0
        scores = half if half and case.config.training.precision == "fp16" else FP32
        return model.num_heads * case.length * (2 * FP32 + scores - half) + query * types.attention
    return types.attention * (2 * query + 2 * keys) + FP32 * query


def _expands_keys(case: Case) -> bool:
    """Whether keys and values are repeated for every query head.

    Eager always does; SDPA under a mask, and where the only kernel is the memory-efficient one (before Ampere),
    which knows no grouped queries.
    """
    implementation = case.config.training.attn_implementation
    if implementation == "eager":
        return True
    if implementation != "sdpa" or case.on_cpu:
        return False
    return _masked(case) or (case.device.compute_capability or AMPERE) < AMPERE


def _masked(case: Case) -> bool:
    """Whether SDPA gets a mask: for rows of unequal length, and for rows packed into one."""
    if case.config.training.attn_implementation != "sdpa" or case.stack.loss != "fused":
        return False
    return case.packed or case.rows > 1


def _mask(case: Case, types: Dtypes) -> int:
    """A mask of length² a row: booleans for SDPA, in the hidden states' dtype for eager attention."""
    if case.config.training.attn_implementation == "eager":
        return case.tokens * case.length * types.stream
    return case.tokens * case.length if _masked(case) else 0


def _unpacked_weight(case: Case) -> int:
    """Bytes of the largest linear layer's weight, dequantised for its product."""
    if case.bits is None:
        return 0
    return case.compute * max(linear.in_features * linear.out_features for linear in case.model.linears)


def _weight_casts(case: Case) -> int:
    """Bytes of trained fp32 weights' copies in half, which autocast makes and the backward pass needs."""
    if not case.autocast or case.adapter == case.compute:
        return 0
    if case.config.method == "full":
        return case.compute * case.model.linear_parameters // case.model.num_layers
    return case.compute * sum(target.parameters for target in case.targets) // case.model.num_layers


def _dora_weights(case: Case) -> int:
    """Bytes of DoRA's weight norm: the unpacked weight, the product of B and A, and their sum, in fp32."""
    if not case.config.lora.use_dora or not case.targets:
        return 0
    return 3 * FP32 * max(target.linear.in_features * target.linear.out_features for target in case.targets)
