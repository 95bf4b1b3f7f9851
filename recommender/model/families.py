"""ModelSpec from a model's config.json: pure, without torch or Transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.model.family_table import CONV1D, FAMILIES, HYBRIDS, OWN_CODE, Family
from recommender.model.fields import Fields
from recommender.model.layers import biases, linears, norm_parameters, other_parameters, read_mixture, read_sizes
from recommender.model.own_code import code_files
from recommender.model.quantised import quantisation, refusal
from recommender.model.spec import ModelSpec, Source

_CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel")
_BY_ARCHITECTURE = {family.architecture: model_type for model_type, family in FAMILIES.items()}


ORDINARY = 10**10
"""Parameters up to which a model is offered in place of one that cannot be trained."""
TEXT_ONLY = "Qwen/Qwen3-8B"
"""Offered where the catalogue has none of the same makers."""


class NotCausal(InputError):
    """The model is no causal language model: an encoder, a classifier, or nothing that Transformers names."""


def spec_from_config(
    config: Mapping[str, Any],
    name: str = "model",
    *,
    source: Source = "folder",
    origin: str = "config.json",
    path: Path | None = None,
    revision: str | None = None,
    gated: bool = False,
) -> ModelSpec:
    """Describe the architecture that `config` builds under AutoModelForCausalLM.

    Args:
        config: What config.json holds; `torch_dtype` and the newer `dtype` are both read.
        name: What the person called the model.
        source: Where the configuration was found.
        origin: What errors call the file.
        path: Folder of its files, when they are here.
        revision: Commit or branch, when known.
        gated: Whether the hub asks for a licence to be accepted.

    Raises:
        NotCausal: The model does not generate text.
        InputError: A field is missing or absurd. A causal language model that cannot be priced is no error: its
            `unsupported` says why.
    """
    fields = Fields(config, origin)
    model_type, architecture = _identity(fields)
    common: dict[str, Any] = {
        "name": name,
        "source": source,
        "architecture": architecture,
        "model_type": model_type,
        "path": path,
        "revision": revision,
        "gated": gated,
    }
    inner = fields.mapping("text_config")
    if inner is not None and model_type not in FAMILIES:
        reason = (
            f"{architecture} reads images or sound beside text, which cannot be planned or trained here. "
            f"Take a model of text alone, such as {text_only(model_type)}."
        )
        merged = {**{key: config[key] for key in ("dtype", "torch_dtype") if key in config}, **inner}
        return _unpriced(Fields(merged, f"{origin}, text_config"), common, reason)
    if model_type in FAMILIES:
        return _priced(fields, FAMILIES[model_type], common)
    why = _why_unknown(fields, model_type, architecture)
    return _own_code(fields, common, architecture) if why is None else _unpriced(fields, common, why)


def _own_code(fields: Fields, common: dict[str, Any], architecture: str) -> ModelSpec:
    """The spec of a model with a class of its own: a Llama of its sizes, until its weights say otherwise."""
    try:
        files = code_files(fields.config)
        spec = _priced(fields, OWN_CODE, common)
    except InputError as problem:
        why = problem.message.removeprefix(f"{fields.origin}: ")
        return _unpriced(
            fields,
            common,
            f"{architecture} is built by Python code of its own (trust_remote_code), and cannot be planned: {why} "
            "Choose a model whose architecture Transformers has.",
        )
    return replace(spec, own_code=files)


def _identity(fields: Fields) -> tuple[str, str]:
    """The model type and the class; an error unless AutoModelForCausalLM would be right for it."""
    architecture, model_type = fields.architecture(), fields.text("model_type")
    if model_type is None and architecture is not None:
        model_type = _BY_ARCHITECTURE.get(architecture)
    if architecture is None and model_type is not None and model_type in FAMILIES:
        architecture = FAMILIES[model_type].architecture
    if architecture is None and model_type is None:
        raise NotCausal(
            f"{fields.origin}: unknown architecture (neither architectures nor model_type).",
            remedy="Give a model folder whose config.json names its architecture.",
        )
    if architecture is None:
        # Read as far as it goes: what it is built of may be known by its type, or be in its own code.
        return str(model_type), f"model_type {model_type}"
    multimodal = architecture.endswith("ForConditionalGeneration") and "text_config" in fields.config
    if not architecture.endswith(_CAUSAL_ENDINGS) and not multimodal:
        raise NotCausal(
            f"{fields.origin}: {architecture} is not a causal language model.",
            remedy="Choose a model that generates text, such as one whose architecture ends in ForCausalLM.",
        )
    return model_type or architecture, architecture


def _why_unknown(fields: Fields, model_type: str, architecture: str) -> str | None:
    """The reason why this architecture cannot be priced; None where it may be, with code of its own."""
    layer_types = fields.config.get("layer_types")
    linear = isinstance(layer_types, list) and any(
        "linear" in str(kind) or "mamba" in str(kind) for kind in layer_types
    )
    if model_type in CONV1D:
        return f"{architecture} is built of Conv1D layers, whose memory is not priced: choose a newer architecture."
    if model_type in HYBRIDS or linear:
        return (
            f"{architecture} mixes in linear attention or state-space layers, whose memory is not priced: "
            "choose a model with attention in every layer."
        )
    if fields.mapping("auto_map"):
        return None
    return f"{architecture} is an architecture whose memory cannot be priced yet: choose one of {_known()}."


def text_only(model_type: str) -> str:
    """A model of the catalogue that reads text alone, of the same makers where there is one: its hub id."""
    from presets.models import load_models

    makers = re.match("[a-z]*", model_type.lower())
    whose = makers[0] if makers else ""
    usable = [model for model in load_models() if model.config["model_type"] in FAMILIES]
    theirs = [model for model in usable if whose and str(model.config.get("model_type", "")).startswith(whose)]
    small = [model for model in theirs if (model.parameters or 0) <= ORDINARY]
    return (small or theirs)[-1].hub_id if theirs else TEXT_ONLY


def _known() -> str:
    return ", ".join(sorted(family.architecture.removesuffix("ForCausalLM") for family in FAMILIES.values()))


def _priced(fields: Fields, family: Family, common: dict[str, Any]) -> ModelSpec:
    """A spec of a family whose every parameter is known."""
    sizes = read_sizes(fields, family)
    mixture = read_mixture(fields, family.experts, sizes.layers)
    tied = fields.flag("tie_word_embeddings", family.tied)
    linear_kinds = linears(fields, family, sizes, sizes.layers - mixture.layers)
    norms, other = norm_parameters(family, sizes), other_parameters(family, sizes, mixture)
    embeddings = sizes.vocabulary * sizes.hidden * (1 if tied else 2)
    method = quantisation(fields.mapping("quantization_config"))
    return ModelSpec(
        **common,
        hidden_size=sizes.hidden,
        num_layers=sizes.layers,
        intermediate_size=sizes.intermediate,
        num_heads=sizes.heads,
        num_kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        vocab_size=sizes.vocabulary,
        tied=tied,
        max_position_embeddings=sizes.max_positions,
        linears=linear_kinds,
        total_parameters=embeddings + sum(linear.parameters for linear in linear_kinds) + norms + other,
        parameters_exact=False,
        norm_parameters=norms,
        other_parameters=other,
        dtype=_dtype(fields),
        quantization=method,
        sliding_window=_sliding_window(fields, family),
        num_experts=mixture.count,
        experts_per_token=mixture.per_token,
        moe_intermediate_size=mixture.width,
        attention_bias=biases(fields, family)[0],
        qk_norm=family.qk_norm != "none",
        activation=fields.text("hidden_activation", "hidden_act") or family.activation,
        final_logit_softcapping=fields.number("final_logit_softcapping", family.softcaps[0]),
        attn_logit_softcapping=fields.number("attn_logit_softcapping", family.softcaps[1]),
        unsupported=refusal(method, common["name"]),
    )


def _sliding_window(fields: Fields, family: Family) -> int | None:
    if family.sliding_switch and not fields.flag("use_sliding_window", False):
        return None
    return fields.optional_count("sliding_window", family.sliding_window)


def _dtype(fields: Fields) -> str | None:
    """The stored dtype: `dtype` since Transformers 4.56, `torch_dtype` before."""
    name = fields.text("dtype", "torch_dtype")
    return name.removeprefix("torch.") if name else None


def _unpriced(fields: Fields, common: dict[str, Any], reason: str) -> ModelSpec:
    """A spec with what can be read and the reason why it cannot be planned; sizes that are not there are 0."""
    hidden, heads = _first(fields, "hidden_size", "n_embd", "d_model"), _first(fields, "num_attention_heads", "n_head")
    return ModelSpec(
        **common,
        hidden_size=hidden,
        num_layers=_first(fields, "num_hidden_layers", "n_layer", "n_layers"),
        intermediate_size=_first(fields, "intermediate_size", "n_inner"),
        num_heads=heads,
        num_kv_heads=_first(fields, "num_key_value_heads") or heads,
        head_dim=_first(fields, "head_dim") or (hidden // heads if heads else 0),
        vocab_size=_first(fields, "vocab_size"),
        tied=fields.flag("tie_word_embeddings", True),
        max_position_embeddings=_first(fields, "max_position_embeddings", "n_positions", "n_ctx"),
        linears=(),
        total_parameters=0,
        parameters_exact=False,
        norm_parameters=0,
        dtype=_dtype(fields),
        quantization=quantisation(fields.mapping("quantization_config")),
        unsupported=reason,
    )


def _first(fields: Fields, *keys: str) -> int:
    """The first of `keys` that is there, else 0."""
    return next((fields.count(key) for key in keys if fields.config.get(key) is not None), 0)
