"""Hold the trace against real memory on this CPU, over model types: `python -m benchmarks.memory_real_types [--table]`.

Tiny models of every type of `benchmarks/tiny_configs.py` with random weights in fp32, LoRA in 16 bits and over NF4,
with and without checkpointing: two steps of 4 rows of 96 tokens, every allocation of PyTorch's CPU allocator followed
by its profiler, each in a process of its own. Resumable: rows are appended to results/memory_real_types.jsonl. --table
prints what is there. Exit 1 where an error is beyond 1 %.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from recommender.config.schema import FinetuneConfig
from recommender.machine.devices import device_for_cpu
from recommender.machine.probe import probe
from recommender.memory.stacks import STACKS
from recommender.memory.workload import Workload, resolve_workload

PATH = Path(__file__).parent / "results" / "memory_real_types.jsonl"
LIMIT = 0.01
ROWS, LENGTH = 4, 96
RECIPES = ((None, True), (4, True), (None, False), (4, False))
"""Bits, and whether layers are checkpointed."""
SEED = 20261130


def case_of(document: dict[str, Any], name: str, bits: int | None, *, checkpointing: bool) -> Workload:
    """The estimator's workload of the step that is run."""
    from benchmarks.learned_vs_trace import learned_spec

    spec = learned_spec(document, name)
    config = FinetuneConfig.model_validate(
        {
            "model": name,
            "method": "qlora" if bits else "lora",
            "quantization": {"bits": bits, "experts": False},
            "lora": {"r": 8},
            "data": {"max_length": LENGTH, "packing": False},
            "training": {
                "precision": "fp32",
                "optim": "adamw_torch",
                "per_device_train_batch_size": ROWS,
                "gradient_accumulation_steps": 1,
                "gradient_checkpointing": checkpointing,
                "attn_implementation": "sdpa" if spec.anatomy is None or spec.anatomy.supports_sdpa else "eager",
            },
        }
    )
    return resolve_workload(config, spec, device_for_cpu(probe()), None, STACKS["hf-trainer-noupcast"])


def traced(case: Workload) -> int:
    """The trace's answer, bytes."""
    from trainer.trace.__main__ import Speaker, trace_order
    from trainer.trace.order import make_order

    class Silent(Speaker):
        def progress(self, phase: str, done: int, total: int) -> None:
            """Nothing."""

    return int(trace_order(make_order(case, dict(case.model.config or {})), Silent())["allocated"])


def real(case: Workload, folder: Path) -> int:
    """The most that PyTorch's CPU allocator had handed out at a time, bytes."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as followed:
        run_steps(case, folder)
    path = folder / "trace.json"
    followed.export_chrome_trace(str(path))
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    return max(int(event["args"]["Total Allocated"]) for event in events if event.get("name") == "[memory]")


def run_steps(case: Workload, folder: Path) -> None:
    """Load, adapt, and take two steps."""
    import torch
    from torch import nn

    from trainer.worker.setup.before_training import as_in_training

    model = load(case, folder)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, foreach=True)
    ids = torch.randint(20, 200, (case.rows, case.length))
    with as_in_training(model, case.config.training):
        for _ in range(2):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            loss.backward()
            nn.utils.clip_grad_norm_(trained, case.config.training.max_grad_norm, foreach=True)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            del loss


def save(case: Workload, folder: Path) -> None:
    """Write the class that is trained, with random weights."""
    import torch
    from transformers import AutoConfig

    from trainer.classes.build import without_towers
    from trainer.classes.choose import classes_of

    document = dict(case.model.config or {})
    classes = classes_of(AutoConfig.for_model(document.pop("model_type"), **document))
    attention = case.config.training.attn_implementation
    model = without_towers(classes)._from_config(classes.config, dtype=torch.float32, attn_implementation=attention)
    model.save_pretrained(str(folder))


def load(case: Workload, folder: Path) -> Any:
    """The model with its adapter, every weight in memory of PyTorch's own."""
    import torch
    from peft import get_peft_model
    from transformers import AutoConfig, BitsAndBytesConfig

    from trainer.classes.build import load_trained
    from trainer.classes.choose import classes_of
    from trainer.worker.setup.adapter import adapter_config

    packed = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=case.config.quantization.double_quant,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = load_trained(
        classes_of(AutoConfig.from_pretrained(folder)),
        folder,
        dtype=torch.float32,
        attn_implementation=case.config.training.attn_implementation,
        **({"quantization_config": packed} if case.bits else {}),
    )
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.clone()
    return get_peft_model(model, adapter_config(case.config.lora, model))


def row_of(name: str, bits: int | None, checkpointing: bool) -> dict[str, Any]:
    """The row of one type and recipe; what is refused says why."""
    import torch

    from benchmarks.tiny_configs import small

    torch.set_num_threads(1)
    row: dict[str, Any] = {"type": name, "bits": bits, "checkpointing": checkpointing}
    try:
        document = {**small(name).to_dict(), "model_type": name}
        document.setdefault("architectures", None)
        if not document["architectures"]:
            from benchmarks.learned_vs_trace import class_name

            document["architectures"] = [class_name(name)]
        case = case_of(document, name, bits, checkpointing=checkpointing)
        answer = traced(case)
        with tempfile.TemporaryDirectory() as scratch:
            save(case, Path(scratch))
            truth = real(case, Path(scratch))
        return row | {"real": truth, "traced": answer}
    except Exception as problem:
        return row | {"refused": " ".join(f"{type(problem).__name__}: {problem}".split())[:200]}


def table(rows: Sequence[dict[str, Any]]) -> int:
    """Print the errors, the worst first; 1 where one is beyond the limit."""
    pairs = [(abs(row["traced"] / row["real"] - 1), row) for row in rows if "real" in row]
    answered = sorted(pairs, key=lambda pair: -pair[0])
    beyond = [one for one in answered if one[0] > LIMIT]
    for error, row in beyond:
        print(f"{row['type']:24s} bits {row['bits']} checkpointing {row['checkpointing']}: {error:.2%}")
    names = {row["type"] for _, row in answered}
    within = {row["type"] for error, row in answered if error <= LIMIT} - {row["type"] for _, row in beyond}
    print(
        f"{len(answered)} steps of {len(names)} types, {len(answered) - len(beyond)} within {LIMIT:.0%}; "
        f"{len(within)} types within it in all their steps; {sum('refused' in row for row in rows)} refused"
    )
    return int(bool(beyond))


def main() -> int:
    """Go on where the rows end, then print the table."""
    import peft  # noqa: F401  # imported before the forks
    import transformers  # noqa: F401

    import trainer.worker.setup.adapter  # noqa: F401
    from benchmarks.learned_vs_trace import types

    rows = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()] if PATH.exists() else []
    if "--table" not in sys.argv:
        names = types()
        random.Random(SEED).shuffle(names)
        done = {(row["type"], row["bits"], row["checkpointing"]) for row in rows}
        # One process a step, forked from this one, which has imported the libraries: what a step leaves does not count.
        context = get_context("fork")
        for bits, checkpointing in RECIPES:
            for name in names:
                if (name, bits, checkpointing) in done:
                    continue
                with context.Pool(1) as pool:
                    row = pool.apply(row_of, (name, bits, checkpointing))
                with PATH.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
                rows.append(row)
                print(row, flush=True)
    return table(rows)


if __name__ == "__main__":
    sys.exit(main())
