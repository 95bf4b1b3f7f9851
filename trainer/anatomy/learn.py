"""The anatomy of a config.json document, counted on the class that is trained for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import nn

from presets.errors import InputError
from recommender.model.anatomy import Anatomy, FusedExperts, KeptLinear, Sizes
from recommender.model.linear import Linear
from trainer.anatomy.build import Built, build, parameters_of
from trainer.anatomy.kinds import Kinds, kinds_of, mixer_linears
from trainer.anatomy.parts import LINEAR, Parts, in_features, out_features, parts_of
from trainer.classes.linears import linears_of

PACKAGES = ("transformers", "peft", "torch")


def learn(document: Mapping[str, Any]) -> Anatomy:
    """Build the class on meta and say what it is made of.

    Args:
        document: What config.json holds.

    Raises:
        InputError: Transformers has no class for it, cannot build it, or it has no stack of layers.
    """
    return anatomy_of(build(document))


def anatomy_of(built: Built) -> Anatomy:
    """Say what a class on meta is made of."""
    model, config = built.model, built.classes.text_config
    try:
        parts = parts_of(model)
    except ValueError as problem:
        raise InputError(f"{problem}, which cannot be planned.", remedy="Choose another model.") from problem
    kinds = kinds_of(parts, config)
    linears, kept, shared = _linears(model)
    experts = _experts(parts)
    counted = _counts(model, parts)
    total = parameters_of(model)
    known = sum(counted.values()) + sum(linear.parameters for linear in linears)
    rest = sum(one.parameters for one in kept) + sum(one.parameters for one in experts)
    return Anatomy(
        text_type=str(config.model_type),
        architecture=built.classes.served.__name__,
        trained_class=type(model).__name__,
        linears=linears,
        kept_linears=kept,
        mixer_linears=tuple(leaf for leaf in mixer_linears(parts) if any(leaf == linear.name for linear in linears)),
        experts=experts,
        kinds=kinds.kinds,
        sequence=kinds.sequence,
        embedding_parameters=counted["embedding"],
        head_parameters=counted["head"],
        norm_parameters=counted["norm"],
        other_parameters=total + shared - known - rest,
        shared_parameters=shared,
        tower_parameters=built.tower_parameters,
        total_parameters=total,
        served_parameters=built.served_parameters,
        tied=_tied(model),
        sizes=_sizes(model, config, parts, kinds, experts),
        supports_sdpa=_supports(model, parts, "_supports_sdpa"),
        supports_flash=_supports(model, parts, "_supports_flash_attn") and _takes_flash_2(model),
        activation=str(_first(config, "hidden_activation", "hidden_act", "activation_function") or "silu"),
        attention_bias=any(one.bias for one in linears if re.fullmatch(r"[qkv]_proj|query|key|value", one.name)),
        softcaps=(_number(config, "final_logit_softcapping"), _number(config, "attn_logit_softcapping")),
        kernels=kinds.kernels,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Versions of the packages that an anatomy follows from."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _linears(model: Any) -> tuple[tuple[Linear, ...], tuple[KeptLinear, ...], int]:
    """Linear layers with and without an adapter, those of one name, shape and reason together.

    Each layer counts, also one that shares its weight with another, as an adapter stands on each (Zamba): what is then
    counted twice comes last.
    """
    sorted_ones = linears_of(model)
    head = model.get_output_embeddings()
    heads = {id(module) for module in head.modules()} if isinstance(head, nn.Module) else set()
    own: Counter[tuple[Any, ...]] = Counter()
    seen: set[int] = set()
    shared = 0
    for name in (*sorted_ones.adapted, *sorted_ones.left_out):
        module = model.get_submodule(name)
        if id(module) in heads:
            continue
        for parameter in module.parameters(recurse=False):
            shared += parameter.numel() if id(parameter) in seen else 0
            seen.add(id(parameter))
        shape = in_features(module), out_features(module), module.bias is not None
        reason = sorted_ones.left_out.get(name, "")
        own[name.rpartition(".")[2], *shape, reason, name not in sorted_ones.kept] += 1
    linears = tuple(Linear(leaf, a, b, n, bias) for (leaf, a, b, bias, why, _), n in own.items() if not why)
    kept = tuple(KeptLinear(leaf, a, b, n, bias, why, q) for (leaf, a, b, bias, why, q), n in own.items() if why)
    return linears, kept, shared


def _experts(parts: Parts) -> tuple[FusedExperts, ...]:
    """Parameters of three dimensions, one matrix for each of several experts, that are no convolution."""
    found: Counter[tuple[str, int, int, int]] = Counter()
    for _, layer in parts.layers:
        for path, module in layer.named_modules():
            if isinstance(module, nn.modules.conv._ConvNd) or not _holds_experts(path, module):
                continue
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.ndim == 3 and min(parameter.shape) > 1:
                    experts, first, second = parameter.shape
                    found[name, first, second, experts] += 1
    return tuple(FusedExperts(name, a, b, experts, count) for (name, a, b, experts), count in found.items())


def _holds_experts(path: str, module: nn.Module) -> bool:
    return "expert" in path.rpartition(".")[2].lower() or "Expert" in type(module).__name__


def _counts(model: Any, parts: Parts) -> Counter[str]:
    """Parameters of embedding, head and norms, each parameter once."""
    inputs, head = model.get_input_embeddings(), model.get_output_embeddings()
    embedded = {id(parameter) for parameter in _parameters(inputs)}
    place = {id(parameter): "head" for parameter in _parameters(head)}
    place.update(dict.fromkeys(embedded, "embedding"))
    for module in parts.text.modules():
        if "Norm" in type(module).__name__:
            for parameter in module.parameters(recurse=False):
                place.setdefault(id(parameter), "norm")
    counted = Counter[str](embedding=0, head=0, norm=0)
    for parameter in model.parameters():
        if id(parameter) in place:
            counted[place[id(parameter)]] += parameter.numel()
    return counted


def _parameters(module: object) -> Iterable[nn.Parameter]:
    return module.parameters() if isinstance(module, nn.Module) else ()


def _tied(model: Any) -> bool:
    inputs, head = model.get_input_embeddings(), model.get_output_embeddings()
    return getattr(head, "weight", None) is getattr(inputs, "weight", object())


def _supports(model: Any, parts: Parts, name: str) -> bool:
    """Whether the class, and its text part's where that is another, names an attention kernel as its own."""
    return bool(getattr(model, name, False)) and bool(getattr(parts.text, name, getattr(model, name, False)))


def _takes_flash_2(model: Any) -> bool:
    """Whether flash-attn 2 is among the flash kernels that the class takes: all are, where it names none."""
    named = getattr(model, "_compatible_flash_implementations", None)
    return named is None or "flash_attention_2" in named


def _sizes(model: Any, config: Any, parts: Parts, kinds: Kinds, experts: Sequence[FusedExperts]) -> Sizes:
    rows, width = _embedding(model.get_input_embeddings())
    hidden = _whole(config, "hidden_size", "d_model", "n_embd") or width
    heads = _whole(config, "num_attention_heads", "n_head", "decoder_attention_heads", "encoder_attention_heads")
    return Sizes(
        hidden=hidden,
        heads=heads,
        kv_heads=_whole(config, "num_key_value_heads", "num_kv_heads", "n_head_kv") or heads,
        head_dim=_whole(config, "head_dim") or (hidden // heads if heads else 0),
        intermediate=_whole(config, "intermediate_size", "ffn_dim", "n_inner", "decoder_ffn_dim") or _widest(parts),
        vocabulary=rows,
        max_positions=_whole(config, "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"),
        window=_window(config, kinds),
        experts=max((one.experts for one in experts), default=0) or (_experts_named(config) if _mixes(kinds) else 0),
        experts_per_token=_whole(
            config,
            "num_experts_per_tok",
            "num_experts_per_token",
            "top_k_experts",
            "moe_topk",
            "moe_k",
            "num_selected_experts",
        )
        if _mixes(kinds)
        else 0,
        expert_width=_expert_width(config, experts, hidden) if _mixes(kinds) else 0,
    )


def _embedding(module: Any) -> tuple[int, int]:
    """Rows and width of the embedding of tokens; of the first, where there is one for each codebook."""
    if isinstance(module, nn.ModuleList):
        module = module[0]
    return int(module.weight.shape[0]), int(module.weight.shape[-1])


def _mixes(kinds: Kinds) -> bool:
    return any(kind.mlp == "mixture" for kind in kinds.kinds)


def _experts_named(config: Any) -> int:
    return _whole(config, "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def _expert_width(config: Any, experts: Sequence[FusedExperts], hidden: int) -> int:
    """Inner width of an expert: what its down projection has beside the width of the model."""
    for one in experts:
        if "down" in one.name or one.name == "w2":
            widths = [one.in_features, one.out_features]
            if hidden in widths:
                widths.remove(hidden)
                return widths[0]
    return _whole(config, "moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")


def _widest(parts: Parts) -> int:
    """The widest output of a linear layer in the layers, where the configuration names no inner width."""
    widths = [out_features(m) for _, layer in parts.layers for m in layer.modules() if isinstance(m, LINEAR)]
    return max(widths, default=0)


def _window(config: Any, kinds: Kinds) -> int | None:
    mixers = {mixer for kind in kinds.kinds for mixer in kind.mixer.split("+")}
    if "sliding_attention" in mixers:
        return _whole(config, "sliding_window", "attention_window_size", "window_size") or None
    return _whole(config, "attention_chunk_size") or None if "chunked_attention" in mixers else None


def _first(config: Any, *names: str) -> Any:
    return next((value for name in names if (value := _value(config, name)) is not None), None)


def _value(config: Any, name: str) -> Any:
    """A key of the configuration; of one that differs between layers, every layer's."""
    try:
        return getattr(config, name, None)
    except AttributeError:
        return None
    except Exception:
        # Transformers raises an error of its own for a key that each layer has for itself (Gemma 4's head_dim).
        return [getattr(layer, name, None) for layer in config.per_layer_config]


def _whole(config: Any, *names: str) -> int:
    """The first of these keys that is a positive number; the largest of a list of one value a layer; else 0."""
    for name in names:
        value = _value(config, name)
        if isinstance(value, list | tuple):
            value = max((x for x in value if isinstance(x, int)), default=0)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _number(config: Any, name: str) -> float | None:
    value = _value(config, name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value else None
