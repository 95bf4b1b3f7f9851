"""One configuration measured in a process of its own: `python -m benchmarks.gpu_step STEP.json`. Needs torch.

Random weights of the real architecture, built where they are used; then the worker's own trainer and preflight.
Prints one JSON line.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from bitsandbytes.nn import Int8Params, Linear4bit, Linear8bitLt, Params4bit
from datasets import Dataset
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from trl import SFTTrainer

from benchmarks.gpu_matrix import Step
from recommender.config.schema import FinetuneConfig
from recommender.machine.capability import AMPERE
from recommender.steps import count_steps
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.worker.measure.memory import MemoryMeter
from trainer.worker.measure.preflight import preflight
from trainer.worker.setup.adapter import adapter_config
from trainer.worker.setup.model import DTYPES, settle_trainable_dtypes
from trainer.worker.stages.sft import training_arguments

SPREAD = 0.02
"""Standard deviation of the random weights."""


def build_model(step: Step, config: FinetuneConfig, device: torch.device) -> Any:
    """The architecture with random weights on the device, its linear layers quantised one at a time."""
    dtype = DTYPES[config.training.precision]
    architecture = step.architecture()
    # Of the special tokens none is used; a class's own padding may lie beyond a small vocabulary.
    settings = AutoConfig.for_model(architecture.pop("model_type"), **architecture, pad_token_id=None)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(
            settings, dtype=dtype, attn_implementation=config.training.attn_implementation
        )
    model.tie_weights()
    if config.quantization.bits:
        for path, layer in list(model.named_modules()):
            if isinstance(layer, nn.Linear) and not path.endswith("lm_head"):
                model.set_submodule(path, quantised(layer, config, dtype, device))
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_meta:
                made.setdefault(id(parameter), random_parameter(parameter, device))
                module._parameters[name] = made[id(parameter)]
        for name, buffer in list(module.named_buffers(recurse=False)):
            module._buffers[name] = buffer.to(device)
    model.config.use_cache = False
    if bits := config.quantization.bits:
        setattr(model, f"is_loaded_in_{bits}bit", True)
    return model


def random_parameter(parameter: nn.Parameter, device: torch.device) -> nn.Parameter:
    """Random values in the place of an empty parameter; ones for a norm's weight."""
    values = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
    values = values.fill_(1.0) if parameter.dim() == 1 else values.normal_(std=SPREAD)
    return nn.Parameter(values, requires_grad=parameter.requires_grad)


def quantised(layer: nn.Linear, config: FinetuneConfig, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """The layer of bitsandbytes that is of the same size, as Transformers replaces it."""
    values = torch.empty(layer.weight.shape, dtype=dtype, device=device).normal_(std=SPREAD)
    sizes, bias = (layer.in_features, layer.out_features), layer.bias is not None
    chosen = config.quantization
    if chosen.bits == 8:
        eight = Linear8bitLt(*sizes, bias=bias, has_fp16_weights=False, threshold=6.0, device="meta")
        eight.weight = Int8Params(values, requires_grad=False, has_fp16_weights=False).to(device)
        made: nn.Module = eight
    else:
        options = {"compress_statistics": chosen.double_quant, "quant_type": chosen.quant_type}
        four = Linear4bit(*sizes, bias=bias, compute_dtype=dtype, device="meta", **options)
        four.weight = Params4bit(values, requires_grad=False, module=four, **options).to(device)
        made = four
    if bias:
        made.bias = nn.Parameter(torch.zeros(layer.out_features, dtype=dtype, device=device), requires_grad=False)
    return made


def random_rows(step: Step, config: FinetuneConfig, vocabulary: int) -> Dataset:
    """Two batches of rows of full length, of which the last share is trained."""
    length, count = config.data.max_length, 2 * step.rows
    ids = torch.randint(0, vocabulary, (count, length), generator=torch.Generator().manual_seed(0))
    untrained = round((1 - step.trained) * length)
    labels = ids.clone()
    labels[:, :untrained] = -100
    return Dataset.from_dict({"input_ids": ids.tolist(), "labels": labels.tolist()})


def measure(step: Step, limit: int | None) -> dict[str, Any]:
    """Build the worker's trainer and measure its worst step.

    Args:
        step: What.
        limit: Bytes that PyTorch's allocator may take from the driver, to imitate a smaller card; None for all.
    """
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", 0) if cuda else torch.device("cpu")
    config = step.config(precision=precision_of(cuda=cuda))
    if cuda and limit is not None:
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / torch.cuda.get_device_properties(0).total_memory))
    meter = MemoryMeter(cuda=cuda)
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = AutoTokenizer.from_pretrained(build_tiny_llama(Path(scratch) / "tokens", with_weights=False))
        model = build_model(step, config, device)
        rows = random_rows(step, config, step.spec().vocab_size)
        counts = count_steps(config, len(rows), 0)
        trainer = SFTTrainer(
            model=model,
            args=training_arguments(config, Path(scratch) / "out", counts, evaluates=False, cuda=cuda),
            train_dataset=rows,
            processing_class=tokenizer,
            peft_config=adapter_config(config.lora, model) if config.method != "full" else None,
        )
        settle_trainable_dtypes(trainer.model, config.training.precision)
        batch = [trainer.train_dataset[index] for index in range(min(step.rows, len(trainer.train_dataset)))]
        return {**preflight(trainer, batch, [], meter), "length": max(len(row["input_ids"]) for row in batch)}


def precision_of(*, cuda: bool) -> str:
    """bf16 where the card has it, fp16 before; fp32 on a CPU."""
    if not cuda:
        return "fp32"
    return "bf16" if torch.cuda.get_device_capability() >= AMPERE else "fp16"


def main() -> int:
    """Measure the step that the first argument describes."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    quiet, sys.stdout = sys.stdout, sys.stderr
    try:
        answer = {"status": "ran", **measure(Step(**asked["step"]), asked.get("limit_bytes"))}
    except torch.OutOfMemoryError:
        answer = {"status": "out of memory"}
    print(json.dumps(answer), file=quiet, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
