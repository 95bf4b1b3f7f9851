"""What one decoder layer keeps for its backward pass, and holds at its worst moment."""

from __future__ import annotations

from recommender.memory.case import FP32, Case


def saved_bytes(case: Case) -> int:
    """Activations that one layer keeps from its forward pass to its backward pass."""
    model, tokens = case.model, case.tokens
    query, key = model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
    norms = 2 * model.hidden_size * (FP32 + case.plain + case.compute)
    attention = (3 * query + 4 * key) * case.compute
    inner = model.intermediate_size if not model.num_experts else model.experts_per_token * model.moe_intermediate_size
    mlp = 4 * inner * case.compute
    adapters = sum(t.linear.in_features * case.adapter for t in case.targets) if case.adapter != case.compute else 0
    scores = 3 * model.num_heads * case.length * FP32 if case.config.training.attn_implementation == "eager" else 0
    return tokens * (norms + attention + mlp + adapters + scores)


def hump_bytes(case: Case) -> int:
    """One layer's backward pass at its worst: what it kept and the gradients in flight."""
    model = case.model
    inner = model.intermediate_size if not model.num_experts else model.experts_per_token * model.moe_intermediate_size
    return saved_bytes(case) + case.tokens * (3 * inner * case.compute + 2 * model.hidden_size * case.plain)


def checkpoint_bytes(case: Case) -> int:
    """One layer's input, which is all that gradient checkpointing keeps of it."""
    return case.tokens * case.model.hidden_size * case.plain


def dequantised_bytes(case: Case) -> int:
    """The largest linear layer's weight, dequantised for its product."""
    if case.bits is None:
        return 0
    return max(linear.in_features * linear.out_features for linear in case.model.linears) * case.compute
