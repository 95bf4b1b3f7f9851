"""The sizes and parameters of a known family's layers."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.model.family_table import Experts, Family
from recommender.model.fields import Fields
from recommender.model.spec import Linear


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes that a configuration gives, checked against each other."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    max_positions: int

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def key_width(self) -> int:
        """Width of all key heads, and of all value heads, together."""
        return self.kv_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture of experts; all zeros where there is none."""

    count: int = 0
    per_token: int = 0
    width: int = 0
    layers: int = 0
    """Layers that have experts instead of one MLP."""


def read_sizes(fields: Fields, family: Family) -> Sizes:
    """Read the sizes of a decoder of `family`.

    Raises:
        InputError: A size is missing, absurd, or does not divide another that it must.
    """
    defaults = family.defaults
    hidden = fields.count("hidden_size")
    heads = fields.count("num_attention_heads", defaults.get("num_attention_heads"))
    return Sizes(
        hidden=hidden,
        layers=fields.count("num_hidden_layers"),
        heads=heads,
        kv_heads=_kv_heads(fields, family, heads),
        head_dim=_head_dim(fields, family, hidden, heads),
        intermediate=fields.count("intermediate_size"),
        vocabulary=fields.count("vocab_size", defaults.get("vocab_size")),
        max_positions=fields.count("max_position_embeddings", defaults.get("max_position_embeddings")),
    )


def read_mixture(fields: Fields, experts: Experts | None, layers: int) -> Mixture:
    """Read how many experts there are, how wide, and in how many of the layers."""
    if experts is None:
        return Mixture()
    key = "num_local_experts" if fields.config.get("num_local_experts") is not None else "num_experts"
    count = fields.count(key, experts.count)
    chosen_key = "num_experts_per_tok" if "num_experts_per_tok" in fields.config else "experts_per_token"
    chosen = fields.count(chosen_key, experts.per_token)
    if chosen > count:
        raise fields.error(f"{chosen_key} {chosen} is more than the {count} experts there are")
    return Mixture(count, chosen, fields.count(experts.width_key), _sparse_layers(fields, layers))


def biases(fields: Fields, family: Family) -> tuple[bool, bool]:
    """Whether q, k and v have a bias, and whether o has one."""
    by_key = family.qkv_bias == "attention_bias" and fields.flag("attention_bias", family.attention_bias)
    return by_key or family.qkv_bias == "always", by_key


def linears(fields: Fields, family: Family, sizes: Sizes, dense_layers: int) -> tuple[Linear, ...]:
    """Every kind of `nn.Linear` inside the decoder layers, `dense_layers` of which have an MLP."""
    attention = _attention(family, sizes, *biases(fields, family))
    if not dense_layers:
        return attention
    return attention + _mlp(family, sizes, dense_layers, family.mlp_bias and fields.flag("mlp_bias", False))


def norm_parameters(family: Family, sizes: Sizes) -> int:
    """Parameters of all norms: each layer's, its query and key norms, and the final one."""
    widths = {"none": 0, "head": 2 * sizes.head_dim, "full": sizes.query_width + sizes.key_width}
    return sizes.layers * (family.norms * sizes.hidden + widths[family.qk_norm]) + sizes.hidden


def other_parameters(family: Family, sizes: Sizes, mixture: Mixture) -> int:
    """Parameters of routers, fused experts and attention sinks."""
    sinks = sizes.layers * sizes.heads if family.attention_sinks else 0
    if family.experts is None:
        return sinks
    router, expert = sizes.hidden, 3 * sizes.hidden * mixture.width
    if family.experts.bias:
        router, expert = router + 1, expert + 2 * mixture.width + sizes.hidden
    return sinks + mixture.layers * mixture.count * (router + expert)


def _kv_heads(fields: Fields, family: Family, heads: int) -> int:
    """Key-value heads: an explicit null means as many as attention heads, in every family."""
    absent = family.defaults.get("num_key_value_heads", heads) if "num_key_value_heads" not in fields.config else heads
    kv_heads = fields.count("num_key_value_heads", absent)
    if heads % kv_heads:
        raise fields.error(f"num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}")
    return kv_heads


def _head_dim(fields: Fields, family: Family, hidden: int, heads: int) -> int:
    default = family.defaults.get("head_dim")
    if fields.config.get("head_dim") is None and default is None and hidden % heads:
        raise fields.error(f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}")
    return fields.count("head_dim", default or hidden // heads)


def _attention(family: Family, sizes: Sizes, bias: bool, out_bias: bool) -> tuple[Linear, ...]:
    hidden, layers, query, key = sizes.hidden, sizes.layers, sizes.query_width, sizes.key_width
    out = Linear("o_proj", query, hidden, layers, out_bias)
    if family.fused:
        return (Linear("qkv_proj", hidden, query + 2 * key, layers, bias), out)
    return (
        Linear("q_proj", hidden, query, layers, bias),
        Linear("k_proj", hidden, key, layers, bias),
        Linear("v_proj", hidden, key, layers, bias),
        out,
    )


def _mlp(family: Family, sizes: Sizes, layers: int, bias: bool) -> tuple[Linear, ...]:
    hidden, wide = sizes.hidden, sizes.intermediate
    down = Linear("down_proj", wide, hidden, layers, bias)
    if family.fused:
        return (Linear("gate_up_proj", hidden, 2 * wide, layers, bias), down)
    return (Linear("gate_proj", hidden, wide, layers, bias), Linear("up_proj", hidden, wide, layers, bias), down)


def _sparse_layers(fields: Fields, layers: int) -> int:
    """Number of layers with experts: Qwen-MoE can leave some dense (`mlp_only_layers`, `decoder_sparse_step`)."""
    step = fields.count("decoder_sparse_step", 1)
    dense = fields.config.get("mlp_only_layers") or []
    if not isinstance(dense, list):
        raise fields.error(f"mlp_only_layers must be a list, not {dense!r}")
    return sum(1 for index in range(layers) if index not in dense and (index + 1) % step == 0)
