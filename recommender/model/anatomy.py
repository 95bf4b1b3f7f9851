"""What a model is made of, as its own class says: linear layers, experts, kinds of layer, parameters.

`trainer.anatomy` learns it in a child process, which builds the class without memory. Here it is plain values, that are
read from and written to JSON without torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any, TypeVar

from recommender.model.linear import Linear

T = TypeVar("T")

FORMAT = 1
"""Of the documents: one of another format is learned again."""


@dataclass(frozen=True, slots=True)
class KeptLinear:
    """A kind of linear layer of the text part that gets no adapter: `trainer.classes.linears` says which and why."""

    name: str
    """Leaf module name."""
    in_features: int
    out_features: int
    count: int
    bias: bool
    reason: str
    """Why: a router, weights that a kernel multiplies itself, what PEFT refuses, outside the layers …"""
    quantised: bool = False
    """Whether it is quantised with the rest all the same."""

    @property
    def parameters(self) -> int:
        """Parameters of all of this kind."""
        return self.count * (self.in_features * self.out_features + (self.out_features if self.bias else 0))


@dataclass(frozen=True, slots=True)
class FusedExperts:
    """A parameter of three dimensions that holds one matrix of each expert of a layer."""

    name: str
    """Leaf parameter name, such as 'gate_up_proj'."""
    in_features: int
    """Of the second dimension, as PEFT counts them; whether it is the input side is the class's affair."""
    out_features: int
    experts: int
    count: int
    """Layers that have it."""

    @property
    def parameters(self) -> int:
        """Parameters of all layers'."""
        return self.count * self.experts * self.in_features * self.out_features

    def adapter_parameters(self, r: int) -> int:
        """Parameters that PEFT's LoRA of rank r on the parameter adds: each expert has its own A and B."""
        return self.count * self.experts * r * (self.in_features + self.out_features)


@dataclass(frozen=True, slots=True)
class LayerKind:
    """Layers that are built alike."""

    name: str
    """Unique in its model, such as 'linear_attention+mixture' or 'full_attention+dense-2'."""
    mixer: str
    """full_attention, sliding_attention, chunked_attention, linear_attention, mamba, conv, recurrent, none, or what the
    configuration calls it; several of one layer are joined by '+'."""
    mlp: str
    """dense, mixture or none."""
    count: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the text part; 0 where the class has none of it."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    max_positions: int
    """0: nothing limits the length."""
    window: int | None
    """Tokens that a layer with a sliding window or in chunks sees."""
    experts: int
    experts_per_token: int
    expert_width: int
    """Inner width of one expert."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What the class is made of that is trained for a configuration.

    `linears`, `kept_linears`, `experts`, embedding, head, norms and `other_parameters` without `shared_parameters` are
    together `total_parameters`, which is what is loaded: other towers are left out.
    """

    text_type: str
    """Model type of the text part: 'gemma3_text' of a 'gemma3'."""
    architecture: str
    """The class that config.json names, which is what a server builds."""
    trained_class: str
    """The class that is trained: the same, or its text part."""
    linears: tuple[Linear, ...]
    """Linear layers inside the text layers that can have adapters."""
    kept_linears: tuple[KeptLinear, ...]
    experts: tuple[FusedExperts, ...]
    kinds: tuple[LayerKind, ...]
    sequence: tuple[int, ...]
    """Kind of each layer, as an index of `kinds`."""
    embedding_parameters: int
    """Of the embedding of tokens."""
    head_parameters: int
    """Of the head beyond the embedding: 0 where they share a weight."""
    norm_parameters: int
    other_parameters: int
    """Of the text part: convolutions, further embeddings, what stands alone."""
    tower_parameters: int
    """Of the trained class's parts that see or hear, which are not loaded; 0 too where they cannot be built here."""
    total_parameters: int
    """Of the trained class without them, shared weights once."""
    served_parameters: int
    """Of the class that config.json names, with all of its towers."""
    tied: bool
    sizes: Sizes
    supports_sdpa: bool
    supports_flash: bool
    activation: str
    attention_bias: bool
    softcaps: tuple[float | None, float | None]
    """Of the final logits and of the attention scores."""
    kernels: Mapping[str, tuple[str, ...]]
    """Mixer to the packages with which its fast path runs."""
    versions: Mapping[str, str]
    """Of transformers, peft and torch that it was learned with."""
    mixer_linears: tuple[str, ...] = ()
    """Leaf names, of `linears`, that stand only where tokens are mixed: what 'attention alone' means."""
    shared_parameters: int = 0
    """Of linear layers that share a weight with another layer, so that `linears` and `kept_linears` count it again."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Name of each layer's kind."""
        return tuple(self.kinds[index].name for index in self.sequence)

    @property
    def mixers(self) -> tuple[str, ...]:
        """What its layers mix tokens with, each once, in order."""
        found = [mixer for kind in self.kinds for mixer in kind.mixer.split("+") if mixer != "none"]
        return tuple(dict.fromkeys(found))

    @property
    def attention_layers(self) -> int:
        """Layers that have attention scores, of any span."""
        return sum(kind.count for kind in self.kinds if any(map(has_scores, kind.mixer.split("+"))))

    @property
    def recurrent(self) -> bool:
        """Whether some layer carries a state from token to token, beside attention."""
        return any(mixer in RECURRENT for mixer in self.mixers)


RECURRENT = frozenset({"linear_attention", "mamba", "conv", "recurrent"})
"""Mixers that carry something from one token to the next without a mask."""


def has_scores(mixer: str) -> bool:
    """Whether a mixer has attention scores: a state space, a convolution or a linear attention has none."""
    return "attention" in mixer and mixer != "linear_attention"


def to_document(anatomy: Anatomy) -> dict[str, Any]:
    """The anatomy as JSON has it; the sequence of kinds as runs [kind, layers]."""
    document = asdict(replace(anatomy, kernels={}, versions={}))
    document["kernels"] = {mixer: list(names) for mixer, names in anatomy.kernels.items()}
    document["versions"] = dict(anatomy.versions)
    document["sequence"] = [[kind, len(list(run))] for kind, run in groupby(anatomy.sequence)]
    return {"format": FORMAT, **document}


def from_document(document: Mapping[str, Any]) -> Anatomy:
    """The anatomy of a document.

    Raises:
        ValueError: It is of another format, or no anatomy.
    """
    values = dict(document)
    if values.pop("format", None) != FORMAT:
        raise ValueError("an anatomy of another format")
    try:
        values["linears"] = _all(Linear, values["linears"])
        values["kept_linears"] = _all(KeptLinear, values["kept_linears"])
        values["mixer_linears"] = tuple(values["mixer_linears"])
        values["experts"] = _all(FusedExperts, values["experts"])
        values["kinds"] = _all(LayerKind, values["kinds"])
        values["sequence"] = tuple(kind for kind, run in values["sequence"] for _ in range(run))
        values["sizes"] = Sizes(**values["sizes"])
        values["softcaps"] = tuple(values["softcaps"])
        values["kernels"] = {mixer: tuple(names) for mixer, names in values["kernels"].items()}
        return Anatomy(**values)
    except (KeyError, TypeError) as problem:
        raise ValueError(f"no anatomy: {problem}") from problem


def _all(kind: type[T], documents: Sequence[Mapping[str, Any]]) -> tuple[T, ...]:
    return tuple(kind(**document) for document in documents)
