"""The configurations that `benchmarks/memory_gpu.py` measures, the most telling first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from presets.models import find_model
from recommender.config.schema import FinetuneConfig
from recommender.model.families import spec_from_config
from recommender.model.spec import ModelSpec
from recommender.rules.precision import needs_eager

SMALL = ("smollm2-135m-instruct", "qwen2.5-1.5b-instruct", "gemma-2-2b-it")
LARGE = ("phi-3.5-mini-instruct", "llama-3.1-8b-instruct", "qwen3-14b")
TINY_WIDTHS = {"hidden_size": 128, "num_hidden_layers": 2, "intermediate_size": 256, "num_attention_heads": 4}
"""Sizes of each architecture under `--cpu`, which proves the program where there is no GPU."""
TINY_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Step:
    """One configuration to measure."""

    model: str
    """Short name in the catalogue; the weights are random."""
    bits: int | None = 4
    length: int = 2048
    rows: int = 1
    r: int = 16
    optim: str = "adamw_torch_fused"
    attention: str = "sdpa"
    checkpointing: bool = True
    offloading: bool = False
    packing: bool = False
    dropout: float = 0.0
    trained: float = 1.0
    """Share of each row's tokens that the loss sees."""
    method: str = "adapter"
    """'adapter', or 'full'."""
    tiny: bool = False

    @property
    def key(self) -> str:
        """The step's name in the results."""
        return " ".join(f"{name}={value}" for name, value in asdict(self).items() if value != DEFAULTS.get(name))

    def architecture(self) -> dict[str, Any]:
        """The fields of its config.json."""
        entry = find_model(self.model)
        assert entry is not None, self.model
        fields = dict(entry.config)
        if self.tiny:
            fields |= TINY_WIDTHS | {"num_key_value_heads": 2, "head_dim": 32, "vocab_size": 1024}
            fields = {name: value for name, value in fields.items() if name != "rope_scaling"}
        return fields

    def spec(self) -> ModelSpec:
        """The architecture as the estimator takes it."""
        return spec_from_config(self.architecture(), self.model, source="catalogue")

    def config(self, *, precision: str) -> FinetuneConfig:
        """The configuration as the estimator and the worker take it."""
        method = "full" if self.method == "full" else "qlora" if self.bits else "lora"
        return FinetuneConfig.model_validate(
            {
                "model": self.model,
                "method": method,
                "quantization": {"bits": self.bits if method == "qlora" else None},
                "lora": {"r": self.r, "lora_dropout": self.dropout},
                "data": {"max_length": min(self.length, TINY_LENGTH) if self.tiny else self.length,
                         "packing": self.packing},
                "training": {
                    "per_device_train_batch_size": self.rows,
                    "gradient_accumulation_steps": 2,
                    "optim": self.optim,
                    "precision": precision,
                    "attn_implementation": self.attention,
                    "gradient_checkpointing": self.checkpointing,
                    "activation_offloading": self.offloading,
                },
            }
        )  # fmt: skip


DEFAULTS: dict[str, Any] = {
    name: field.default for name, field in Step.__dataclass_fields__.items() if name != "model"
}  # fmt: skip


def attention(model: str) -> str:
    """SDPA; eager where Transformers refuses it (soft-capped scores)."""
    return "eager" if needs_eager(Step(model).spec()) else "sdpa"


def matrix(*, tiny: bool = False) -> list[Step]:
    """Every configuration: first one of each kind on every architecture, then one thing at a time is varied."""
    steps = [Step(model, bits, attention=attention(model)) for model in (*SMALL, *LARGE) for bits in (4, None)]
    steps += [Step("llama-3.1-8b-instruct", 8), Step("qwen2.5-1.5b-instruct", 8)]
    for model in ("qwen2.5-1.5b-instruct", "llama-3.1-8b-instruct"):
        steps += [Step(model, length=length) for length in (512, 4096, 8192, 16384)]
        steps += [Step(model, rows=rows, length=1024) for rows in (4, 8)]
        steps += [Step(model, r=r) for r in (4, 64, 256)]
        steps += [Step(model, optim=optim) for optim in ("adamw_torch", "adamw_8bit", "paged_adamw_8bit", "sgd")]
        steps += [
            Step(model, checkpointing=False, length=1024),
            Step(model, offloading=True, length=8192),
            Step(model, attention="eager"),
            Step(model, attention="flash_attention_2"),
            Step(model, attention="flash_attention_2", packing=True, rows=4),
            Step(model, packing=True, rows=2),
            Step(model, dropout=0.1),
            Step(model, trained=0.25, length=4096),
        ]
    steps += [
        Step("gemma-2-2b-it", length=4096, attention="eager"),
        Step("phi-3.5-mini-instruct", None, checkpointing=False, length=512),
    ]
    steps += [Step("smollm2-135m-instruct", None, method="full"), Step("qwen3-14b", length=8192)]
    if not tiny:
        return steps
    return [Step(**{**asdict(step), "tiny": True}) for step in steps]
