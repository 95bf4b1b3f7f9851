"""The request to the tracing process: plain values, sent as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from recommender.config.schema import FinetuneConfig
from recommender.machine.capability import known
from recommender.memory.layers.attention import masked
from recommender.memory.loss import kept_bytes
from recommender.memory.workload import FP32, Workload

Shifted = Literal["no", "beside", "instead"]
"""The tensor that the loss shifts: its labels; or, in older Transformers, an fp32 copy of the logits, while the logits
in half live on beside both in the caller (4.46 to 4.48) or were replaced by their fp32 copy (before)."""


@dataclass(frozen=True, slots=True)
class Order:
    """A resolved configuration: `recommender.memory.workload.Workload` describes the resolution."""

    config: dict[str, Any]
    """The `FinetuneConfig` as a document."""
    architecture: dict[str, Any]
    """The model's config.json."""
    total_parameters: int
    """Parameters that the base model must have."""
    stack: str
    rows: int
    length: int
    """Tokens of a row, padding included."""
    packed: bool
    masked: bool
    """Whether SDPA gets a mask of length² a row."""
    trained_tokens: int
    """Tokens of the micro-batch whose loss counts, at most those that have a successor."""
    bits: int | None
    compute: int
    """Bytes of an element of autocast's dtype."""
    autocast: bool
    plain: int
    """Bytes of an element of weights that are not quantised."""
    norms: int
    """Bytes of an element of the norms' weights; more than `plain` where only they are upcast."""
    adapter: int
    """Bytes of an element of a trained parameter."""
    loss: str
    shifted: Shifted
    keeps_logits: bool
    """Whether the logits live on through the backward pass, in a loop that holds the model's whole output."""
    empties_cache: bool
    """Whether the cache is emptied between loading and training (`prepare_model_for_kbit_training` does)."""
    expandable: bool
    on_cpu: bool
    capability: tuple[int, int]
    fused_experts: bool = True
    """Whether 4-bit experts are one packed tensor a layer; else three linear layers each, run one after the other."""
    own_code: str = ""
    """Folder of a model whose own code the person agreed to; empty: only Transformers' classes."""

    def dumps(self) -> str:
        """Return the order as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Order:
        """Read an order from JSON."""
        document = json.loads(text)
        return cls(**{**document, "capability": tuple(document["capability"])})

    @property
    def finetune(self) -> FinetuneConfig:
        """The configuration."""
        return FinetuneConfig.model_validate(self.config)


def make_order(
    workload: Workload, architecture: dict[str, Any], trained_tokens: int | None = None, own_code: str = ""
) -> Order:
    """Return the order for a workload.

    Args:
        workload: What is priced.
        architecture: The model's config.json.
        trained_tokens: Of the worst micro-batch; all where it is not known.
        own_code: Folder of a model whose own code was agreed to.
    """
    predicted = workload.rows * (workload.length - 1)
    return Order(
        config=workload.config.model_dump(mode="json"),
        architecture=architecture,
        total_parameters=workload.model.total_parameters,
        stack=workload.stack.name,
        rows=workload.rows,
        length=workload.length,
        packed=workload.packed,
        masked=masked(workload),
        trained_tokens=max(1, predicted if trained_tokens is None else min(predicted, trained_tokens)),
        bits=workload.bits,
        compute=workload.compute,
        autocast=workload.autocast,
        plain=workload.plain,
        norms=workload.plain,
        adapter=workload.adapter,
        loss=workload.stack.loss,
        shifted="beside" if workload.stack.shifted_copy else "no",
        keeps_logits=kept_bytes(workload) > 0,
        empties_cache=workload.stack.upcast and workload.bits is not None and workload.plain == FP32,
        expandable=workload.stack.expandable_segments and not workload.on_cpu,
        on_cpu=workload.on_cpu,
        capability=known(workload.device.compute_capability),
        fused_experts=workload.stack.fused_experts or workload.expert_rank > 0,
        own_code=own_code,
    )
