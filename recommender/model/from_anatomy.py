"""A ModelSpec filled with what its class says of itself."""

from __future__ import annotations

from dataclasses import replace

from presets.errors import InputError
from recommender.model.anatomies import find
from recommender.model.anatomy import Anatomy
from recommender.model.spec import ModelSpec

UNLIMITED = 2**20
"""Tokens of a context that nothing in the class limits (a state space, ALiBi)."""


def known(spec: ModelSpec) -> ModelSpec:
    """A spec completed by a shipped or cached anatomy, where there is one and it needs one; else the same."""
    if not spec.needs_anatomy or spec.config is None:
        return spec
    anatomy = find(spec.config)
    return spec if anatomy is None else with_anatomy(spec, anatomy)


def with_anatomy(spec: ModelSpec, anatomy: Anatomy) -> ModelSpec:
    """Fill in what the class says; what is known of the files (dtype, revision, access) stays.

    Raises:
        InputError: The weights here hold fewer parameters than the class has: files are missing, or another model's.
    """
    if spec.has_weights and not spec.held_packed and spec.total_parameters:
        _check_files(spec, anatomy)
    sizes = anatomy.sizes
    linears = sum(linear.parameters for linear in anatomy.linears)
    known_ones = anatomy.embedding_parameters + anatomy.head_parameters + linears + anatomy.norm_parameters
    return replace(
        spec,
        needs_anatomy=False,
        anatomy=anatomy,
        architecture=anatomy.architecture,
        hidden_size=sizes.hidden,
        num_layers=len(anatomy.sequence),
        intermediate_size=sizes.intermediate,
        num_heads=sizes.heads,
        num_kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        vocab_size=sizes.vocabulary,
        tied=anatomy.tied,
        max_position_embeddings=sizes.max_positions or UNLIMITED,
        linears=anatomy.linears,
        total_parameters=anatomy.total_parameters,
        parameters_exact=True,
        norm_parameters=anatomy.norm_parameters,
        other_parameters=anatomy.total_parameters - known_ones,
        sliding_window=sizes.window,
        num_experts=sizes.experts,
        experts_per_token=sizes.experts_per_token,
        moe_intermediate_size=sizes.expert_width,
        attention_bias=anatomy.attention_bias,
        activation=anatomy.activation,
        final_logit_softcapping=anatomy.softcaps[0],
        attn_logit_softcapping=anatomy.softcaps[1],
    )


def _check_files(spec: ModelSpec, anatomy: Anatomy) -> None:
    """Refuse files that hold too little; they may hold more: rotary tables, heads of further tokens, stored copies."""
    least = min(anatomy.served_parameters, anatomy.total_parameters)
    # A head in the files was left out of the count where nothing said that it is no copy of the embedding.
    if spec.total_parameters + anatomy.head_parameters < least:
        raise InputError(
            f"{spec.name}'s config.json describes {least:,} parameters, but the safetensors files hold "
            f"{spec.total_parameters:,}.",
            remedy="Files are missing or belong to another model: download the model again.",
        )
