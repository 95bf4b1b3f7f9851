"""Hold the trace against real memory on this CPU: `python -m benchmarks.memory_real [ROWSxLENGTH] [--mixtures]`.

SmolLM2-135M-Instruct in fp32, LoRA and NF4, and random mixtures of experts (Mixtral's and Qwen3-MoE's classes) with
their experts in 4 bits, frozen and adapted: two optimizer steps of a plain loop with the stack's own loss, while
PyTorch's profiler follows every allocation of its CPU allocator, those inside kernels too. The trace knows nothing of
it. Weights that are mapped from a file are copied first, so that they count. --mixtures: those alone. Exit 1 beyond
1 %.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
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
MIXTURES: dict[str, dict[str, Any]] = {
    "mixtral": {"intermediate_size": 1024, "num_local_experts": 8},
    "qwen3_moe": {"intermediate_size": 1024, "moe_intermediate_size": 256, "num_experts": 16},
}
"""Sizes of the random mixtures, beside 256 hidden values, four layers and 2 048 words."""


def case_of(
    folder: Path, bits: int | None, rows: int, length: int, *, checkpointing: bool, experts: bool = False
) -> Workload:
    """The estimator's workload of the step that is run; with adapters on a mixture's experts where `experts`."""
    config = FinetuneConfig.model_validate(
        {
            "model": str(folder),
            "method": "qlora" if bits else "lora",
            "quantization": {"bits": bits},
            "lora": {"experts": experts},
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
        config,
        read_model(str(folder)),
        device_for_cpu(probe()),
        None,
        replace(STACKS["hf-trainer-noupcast"], fused_experts=True),
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


def real(case: Workload) -> int:
    """The most that PyTorch's CPU allocator had handed out at a time, bytes."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as followed:
        run_steps(case)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "trace.json"
        followed.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    return max(int(event["args"]["Total Allocated"]) for event in events if event.get("name") == "[memory]")


def alone(case: Workload) -> int:
    """`real` in a process of its own: what an earlier run left to the garbage collector would count."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(real, case).result()


def run_steps(case: Workload) -> None:
    """Load, adapt, and take two steps."""
    import torch
    from torch import nn

    model = load(case)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, foreach=True)
    ids = torch.randint(0, 1000, (case.rows, case.length))
    for _ in range(2):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        nn.utils.clip_grad_norm_(trained, case.config.training.max_grad_norm, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def load(case: Workload) -> Any:
    """The model with its adapter, every weight in memory of PyTorch's own."""
    from peft import get_peft_model

    from trainer.worker.setup.adapter import adapter_config
    from trainer.worker.setup.model import load_model

    model: Any = load_model(case.config, case.model, cuda=False)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.clone()
    model = get_peft_model(model, adapter_config(case.config.lora, model))
    model.train()
    if case.config.training.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def mixture(kind: str, folder: Path) -> Path:
    """A random mixture of a few million parameters."""
    from tests.fixtures.mixtures import saved_mixture

    sizes = {"hidden_size": 256, "head_dim": 64, "num_hidden_layers": 4, "vocab_size": 2048, "mlp_only_layers": []}
    return saved_mixture(kind, folder, shard="5GB", **sizes, **MIXTURES[kind])


def cases(rows: int, length: int, scratch: Path, *, mixtures: bool) -> Iterator[tuple[str, Workload]]:
    """Yield every case with its label."""
    if not mixtures:
        demo = ensure_demo_model()
        for (name, bits), checkpointing in product((("LoRA", None), ("NF4", 4)), (True, False)):
            case = case_of(demo, bits, rows, length, checkpointing=checkpointing)
            yield f"{name:4s} {_words(checkpointing)}", case
    for kind in MIXTURES:
        folder = mixture(kind, scratch / kind)
        for experts, checkpointing in product((False, True), (True, False)):
            case = case_of(folder, 4, rows, length, checkpointing=checkpointing, experts=experts)
            adapted = "adapted" if experts else "frozen"
            yield f"{kind} NF4, experts {adapted:7s} {_words(checkpointing)}", case


def _words(checkpointing: bool) -> str:
    return f"{'with' if checkpointing else 'without':7s} checkpointing"


def main() -> int:
    """Print the table; 1 beyond the limit."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    rows, length = (int(part) for part in (words[0] if words else "1x256").split("x"))
    worst = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for label, case in cases(rows, length, Path(scratch), mixtures="--mixtures" in sys.argv):
            truth, answer = alone(case), traced(case)
            worst = max(worst, abs(answer / truth - 1))
            print(
                f"{label}, {rows} x {length}: real {truth / MIB:7.1f} MiB, trace {answer / MIB:7.1f} MiB, "
                f"{answer / truth - 1:+.2%}",
                flush=True,
            )
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
