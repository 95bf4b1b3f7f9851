"""ModelSpec from a model's config.json: pure, without torch or Transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.model.family_table import FAMILIES, OWN_CODE, Family
from recommender.model.fields import Fields
from recommender.model.known_types import has_class
from recommender.model.layers import biases, linears, norm_parameters, other_parameters, read_mixture, read_sizes
from recommender.model.own_code import code_files
from recommender.model.quantised import quantisation, refusal
from recommender.model.spec import ModelSpec, Source

_CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel", "GenerationDecoder")
_BY_ARCHITECTURE = {family.architecture: model_type for model_type, family in FAMILIES.items()}


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
            `unsupported` says why. One of no hand-written family has `needs_anatomy`: its class is asked.
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
    if model_type in FAMILIES and inner is None:
        return _priced(fields, FAMILIES[model_type], common)
    if inner is None and fields.mapping("auto_map") and not has_class(model_type):
        return _own_code(fields, common, architecture)
    return _to_be_learned(fields, common, inner)


def _to_be_learned(fields: Fields, common: dict[str, Any], inner: Mapping[str, Any] | None) -> ModelSpec:
    """The spec of a model whose class says what it is made of: `trainer.anatomy.ask.completed` fills it in."""
    read = fields
    if inner is not None:
        merged = {**{key: fields.config[key] for key in ("dtype", "torch_dtype") if key in fields.config}, **inner}
        read = Fields(merged, f"{fields.origin}, text_config")
    method = quantisation(fields.mapping("quantization_config"))
    spec = _unpriced(read, common, refusal(method, common["name"]))
    return replace(spec, needs_anatomy=True, config=dict(fields.config), quantization=method)


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
    """The first of `keys` that is there and not 0, else 0; of a list the largest: one a layer, as Gemma 3n has it."""
    found = next((key for key in keys if fields.config.get(key) not in (None, 0)), None)
    if found is None:
        return 0
    each = fields.config[found]
    if isinstance(each, list) and each:
        return max(Fields({found: one}, fields.origin).count(found) for one in each if one is not None)
    return fields.count(found)
