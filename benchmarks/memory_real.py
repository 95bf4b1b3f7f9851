"""Hold the trace against real memory on this CPU: `python -m benchmarks.memory_real [ROWSxLENGTH]`.

SmolLM2-135M-Instruct in fp32, LoRA and NF4, two optimizer steps of a plain loop with the stack's own loss, while
PyTorch's profiler follows every allocation of its CPU allocator, those inside kernels too. The trace knows nothing of
it. Weights that are mapped from a file are copied first, so that they count. Exit 1 beyond 1 %.
"""

from __future__ import annotations

import json
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from recommender.config.schema import FinetuneConfig
from recommender.machine.devices import device_for_cpu
from recommender.machine.probe import probe
from recommender.memory.stacks import STACKS
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.reader import read_model
from trainer.models.demo import ensure_demo_model

LIMIT = 0.01
MIB = 2**20


def case_of(folder: Path, bits: int | None, rows: int, length: int, *, checkpointing: bool) -> Workload:
    """The estimator's workload of the step that is run."""
    config = FinetuneConfig.model_validate(
        {
            "model": str(folder),
            "method": "qlora" if bits else "lora",
            "quantization": {"bits": bits},
            "data": {"max_length": length, "packing": False},
            "training": {
                "precision": "fp32",
                "optim": "adamw_torch",
                "per_device_train_batch_size": rows,
                "gradient_accumulation_steps": 1,
                "gradient_checkpointing": checkpointing,
                "attn_implementation": "sdpa",
            },
        }
    )
    return resolve_workload(
        config, read_model(str(folder)), device_for_cpu(probe()), None, STACKS["hf-trainer-noupcast"]
    )


def traced(case: Workload) -> int:
    """The trace's answer, bytes."""
    from trainer.trace.__main__ import Speaker, trace_order
    from trainer.trace.architecture import architecture_of
    from trainer.trace.order import make_order

    class Silent(Speaker):
        def progress(self, phase: str, done: int, total: int) -> None:
            """Nothing."""

    return int(trace_order(make_order(case, architecture_of(case.model)), Silent())["allocated"])


def real(folder: Path, case: Workload) -> int:
    """The most that PyTorch's CPU allocator had handed out at a time, bytes."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as followed:
        run_steps(folder, case)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "trace.json"
        followed.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    return max(int(event["args"]["Total Allocated"]) for event in events if event.get("name") == "[memory]")


def alone(folder: Path, case: Workload) -> int:
    """`real` in a process of its own: what an earlier run left to the garbage collector would count."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(real, folder, case).result()


def run_steps(folder: Path, case: Workload) -> None:
    """Load, adapt, and take two steps."""
    import torch
    from torch import nn

    model = load(folder, case)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, foreach=True)
    ids = torch.randint(0, 1000, (case.rows, case.length))
    for _ in range(2):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        nn.utils.clip_grad_norm_(trained, case.config.training.max_grad_norm, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def load(folder: Path, case: Workload) -> Any:
    """The model with its adapter, every weight in memory of PyTorch's own."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from trainer.worker.setup.adapter import adapter_config

    packed = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=case.config.quantization.double_quant,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa", quantization_config=packed if case.bits else None
    )
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.clone()
    model.config.use_cache = False
    model = get_peft_model(model, adapter_config(case.config.lora, model))
    model.train()
    if case.config.training.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def main() -> int:
    """Print the table; 1 beyond the limit."""
    rows, length = (int(part) for part in (sys.argv[1] if len(sys.argv) > 1 else "1x256").split("x"))
    folder = ensure_demo_model()
    worst = 0.0
    for (name, bits), checkpointing in product((("LoRA", None), ("NF4", 4)), (True, False)):
        case = case_of(folder, bits, rows, length, checkpointing=checkpointing)
        truth, answer = alone(folder, case), traced(case)
        worst = max(worst, abs(answer / truth - 1))
        print(
            f"{name:4s} {rows} x {length} {'with' if checkpointing else 'without':7s} checkpointing: "
            f"real {truth / MIB:7.1f} MiB, trace {answer / MIB:7.1f} MiB, {answer / truth - 1:+.2%}",
            flush=True,
        )
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
