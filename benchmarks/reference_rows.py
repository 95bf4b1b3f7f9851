"""The public measurements as questions to the estimator: model, configuration, device and stack of every row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from recommender.config.schema import FinetuneConfig
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Device
from recommender.memory.stacks import STACKS, Stack
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.families import spec_from_config
from recommender.model.spec import ModelSpec

HERE = Path(__file__).parent / "reference"
MIB, GIB = 2**20, 2**30

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
CONFIGS: Mapping[str, dict[str, Any]] = {
    "mistralai/Mistral-7B-v0.1": {
        "model_type": "mistral",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
        "tie_word_embeddings": False,
    },
    "ibm/PowerLM-3b": {
        "model_type": "granite",
        "hidden_size": 2304,
        "num_hidden_layers": 40,
        "intermediate_size": 9216,
        "num_attention_heads": 36,
        "num_key_value_heads": 36,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
}


@dataclass(frozen=True, slots=True)
class Row:
    """One measured step."""

    group: str
    """The group that it is scored with: 't4' or 'a100'."""
    source: str
    model: ModelSpec
    config: FinetuneConfig
    device: Device
    stack: Stack
    allocated: float
    """Peak that PyTorch's allocator handed out, bytes."""
    process: float
    """Bytes that nvidia-smi showed."""
    reserved: float | None
    seconds: float
    """Of one step of one micro-batch."""
    context: float | None
    scored: bool = True
    """Whether memory is scored: short padded rows are not."""

    def case(self) -> Workload:
        """The workload to be priced. The T4's steps have one length, the A100's rows differ by a few tokens."""
        case = resolve_workload(self.config, self.model, self.device, None, self.stack)
        return replace(case, alike=1.0 if self.group == "t4" else 0.0)

    @property
    def label(self) -> str:
        """Model, method, attention, rows and length."""
        training, name = self.config.training, self.model.name.rsplit("/", 1)[-1]
        bits = "nf4" if self.config.quantization.bits else "16-bit"
        shape = f"{training.per_device_train_batch_size}x{self.config.data.max_length}"
        return f"{name} {bits} {training.attn_implementation} {shape} {self.stack.name}"


def load_rows() -> list[Row]:
    """Every row that the estimator can be asked about."""
    return [*_t4(), *_a100()]


def _read(name: str) -> Iterator[dict[str, str]]:
    with (HERE / name).open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _config(quantised: bool, *, double: bool, rank: int, rows: int, length: int, **training: Any) -> FinetuneConfig:
    dropout = training.pop("lora_dropout", 0.0)
    return FinetuneConfig.model_validate(
        {
            "model": "reference",
            "method": "qlora" if quantised else "lora",
            "quantization": {"bits": 4 if quantised else None, "double_quant": double},
            "lora": {"r": rank, "target_modules": ATTENTION, "lora_dropout": dropout},
            "data": {"max_length": length, "packing": False},
            "training": {"per_device_train_batch_size": rows, "gradient_accumulation_steps": 1, **training},
        }
    )


@cache
def _device(name: str) -> Device:
    return device_from_catalogue(name)


def _t4() -> Iterator[Row]:
    for row in _read("memory_t4.csv"):
        config = {
            "model_type": "qwen2" if row["model"].startswith("Qwen") else "llama",
            "hidden_size": int(row["hidden"]),
            "num_hidden_layers": int(row["layers"]),
            "intermediate_size": int(row["inter"]),
            "num_attention_heads": int(row["heads"]),
            "num_key_value_heads": int(row["kv"]),
            "vocab_size": int(row["vocab"]),
            "tie_word_embeddings": row["tied"] == "True",
        }
        yield Row(
            group="t4",
            source=f"{row['file']} {row['index']}",
            model=spec_from_config(config, row["model"]),
            config=_config(
                row["quant"] == "nf4",
                double=row["double_quant"] == "True",
                rank=int(row["rank"]),
                rows=int(row["batch"]),
                length=int(row["seq"]),
                precision="fp16",
                attn_implementation="eager" if row["attn_impl"] == "eager" else "sdpa",
                optim="adamw_torch",
            ),
            device=_device("T4"),
            stack=STACKS["hf-trainer"],
            allocated=float(row["peak_allocated_mib"]) * MIB,
            process=float(row["process_mib"]) * MIB,
            reserved=float(row["peak_reserved_mib"]) * MIB,
            seconds=float(row["step_seconds"]),
            context=float(row["cuda_context_mib"]) * MIB,
        )


def _a100() -> Iterator[Row]:
    for row in _read("memory_a100.csv"):
        if row["model"] not in CONFIGS:
            continue
        stack = STACKS["hf-trainer-noupcast" if row["config"] == "accelerated-peft-bnb" else "hf-trainer"]
        rows, length = int(row["bs_per_dev"]), int(row["tok_per_sample"])
        yield Row(
            group="a100",
            source=f"{row['file']} {row['config']}",
            model=spec_from_config(CONFIGS[row["model"]], row["model"]),
            config=_config(
                row["config"] != "none",
                double=True,
                rank=16,
                rows=rows,
                length=length,
                precision="bf16",
                attn_implementation="flash_attention_2",
                lora_dropout=0.1,
                optim="adamw_torch",
            ),
            device=_device("A100 PCIe 80GB"),
            stack=replace(stack, shifted_copy=row["file"] == "a100_80gb"),
            allocated=float(row["torch_peak_alloc_GiB"]) * GIB,
            process=float(row["nvml_GiB"]) * GIB,
            reserved=None,
            seconds=rows * length / float(row["tokens_per_second_per_gpu"]),
            context=None,
            scored=row["file"] != "a100_80gb_pf",
        )
