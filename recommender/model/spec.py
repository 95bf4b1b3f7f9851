"""ModelSpec: the architecture facts that planning needs, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from presets.errors import InputError
from recommender.model.anatomy import Anatomy
from recommender.model.linear import Linear
from recommender.model.quantised import UNPACKED

__all__ = ["Linear", "ModelSpec", "NeedsAnatomy", "Source"]

Source = Literal["folder", "cache", "hub", "catalogue"]

_ATTENTION = ("q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj")
"""Of the hand-written families."""


class NeedsAnatomy(InputError):
    """A model whose class has to be asked first what it is made of."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A causal language model's architecture.

    Parameter counts hold: total_parameters = embedding + head (0 when tied) + linears + other.
    """

    name: str
    """As the person gave it: hub id, folder or catalogue name."""
    source: Source
    architecture: str
    """Transformers' class, such as 'LlamaForCausalLM'."""
    model_type: str
    hidden_size: int
    num_layers: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    tied: bool
    """Whether the output head shares the embedding's weight."""
    max_position_embeddings: int
    linears: tuple[Linear, ...]
    """Every nn.Linear inside the decoder layers. Without the head."""
    total_parameters: int
    parameters_exact: bool
    """True when counted from safetensors headers; else computed from the configuration."""
    norm_parameters: int
    """Parameters of all norms: fp32 where the stack upcasts them."""
    other_parameters: int = 0
    """Parameters that are neither embedding, head, linear nor norm (fused experts, routers, convolutions …), less what
    linear layers share with each other."""
    dtype: str | None = None
    """Stored dtype: 'bfloat16', 'float16', 'float32'."""
    quantization: str | None = None
    """The quantisation of the weights on disk: 'bnb-4bit', 'gptq', 'awq', 'fp8', 'mxfp4' … or None."""
    sliding_window: int | None = None
    num_experts: int = 0
    experts_per_token: int = 0
    moe_intermediate_size: int = 0
    attention_bias: bool = False
    qk_norm: bool = False
    activation: str = "silu"
    final_logit_softcapping: float | None = None
    attn_logit_softcapping: float | None = None
    path: Path | None = None
    """Folder of its files, when they are here."""
    has_weights: bool = False
    """Whether safetensors weights are in that folder. Planning needs none, training does."""
    weights_bytes: int | None = None
    """Bytes of the safetensors files, here or on the hub."""
    revision: str | None = None
    hub_id: str | None = None
    """Its repository on the hub, where it is one: what to download, when `name` is a short name of the catalogue."""
    gated: bool = False
    access: str = ""
    """The reason, with the remedy, why missing weights cannot be downloaded now; empty when they can."""
    own_code: tuple[str, ...] = ()
    """Python files of the model's own that build it, where Transformers has no class for it; nothing runs them unasked:
    see `recommender.model.own_code`."""
    unsupported: str = ""
    """The reason why memory cannot be priced or the model cannot be trained here, in a sentence; empty when it can."""
    anatomy: Anatomy | None = None
    """What its class is made of; None for a family that is described by hand, and until it has been learned."""
    needs_anatomy: bool = False
    """Whether its class must be asked first (`trainer.anatomy.ask.completed`): linears and counts are not known yet."""
    config: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """The config.json document that its class is built from, where an anatomy is wanted."""

    @property
    def held_packed(self) -> bool:
        """Whether the base stays in the bits that it has on disk; published forms that are unpacked do not."""
        return self.quantization is not None and self.quantization not in UNPACKED

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the input embedding."""
        return self.anatomy.embedding_parameters if self.anatomy else self.vocab_size * self.hidden_size

    @property
    def head_parameters(self) -> int:
        """Parameters of the output head beyond the embedding: 0 when tied."""
        if self.anatomy:
            return self.anatomy.head_parameters
        return 0 if self.tied else self.vocab_size * self.hidden_size

    @property
    def linear_parameters(self) -> int:
        """Parameters of the linear layers inside the decoder layers."""
        return sum(linear.parameters for linear in self.linears)

    @property
    def mixer_linears(self) -> tuple[str, ...]:
        """Leaf names of the linear layers that stand where tokens are mixed: attention, or what is in its place."""
        if self.anatomy is not None:
            return self.anatomy.mixer_linears
        names = (linear.name for linear in self.linears)
        return tuple(name for name in names if name in _ATTENTION)

    @property
    def attention_layers(self) -> int:
        """Layers that have attention scores; a hybrid's others mix tokens otherwise."""
        return self.num_layers if self.anatomy is None else self.anatomy.attention_layers

    @property
    def active_expert_parameters(self) -> int:
        """Parameters of the experts that one token passes through, in all layers."""
        if self.anatomy is not None:
            each = sum(one.count * one.in_features * one.out_features for one in self.anatomy.experts)
            return each * self.experts_per_token
        return self.num_layers * 3 * self.hidden_size * self.experts_per_token * self.moe_intermediate_size

    @property
    def carries_state(self) -> bool:
        """Whether layers carry a state or a convolution from token to token, which packed rows would share."""
        return self.anatomy is not None and self.anatomy.recurrent

    def require_supported(self) -> None:
        """Refuse a model that cannot be planned or trained.

        Raises:
            InputError: Its name and the reason.
            NeedsAnatomy: Its class was not asked yet.
        """
        if self.unsupported:
            raise InputError(f"{self.name} cannot be used: {self.unsupported}", remedy="Choose another model.")
        if self.needs_anatomy:
            raise NeedsAnatomy(
                f"What {self.name} ({self.architecture}) is made of has not been learned on this machine yet.",
                remedy="`lora-wizard recommend --model` learns it in some seconds.",
            )
