"""Hold the estimates for a CPU against measured worst steps: `python -m benchmarks.memory_cpu`.

usage: python -m benchmarks.memory_cpu [--plans N] [--results FILE]

Plans that no number of the formula was fitted to, of the demo model (135 M parameters) and of three with random
weights (0.1, 1 and 7 M), measured as the Check screen measures them, in processes of their own. What was measured
before on this machine is not used. A row each is added to FILE: `benchmarks/results/memory_cpu.jsonl` holds those of
one machine. Exit 1 where the median of truth over estimate is outside of 0.93 to 1.07, or less than 85 % are inside
their interval.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from recommender.config.schema import FinetuneConfig
from recommender.data.load import profile_data
from recommender.estimate.estimate import estimate
from recommender.machine.devices import device_for_cpu
from recommender.machine.probe import probe
from recommender.model.reader import read_model
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.models.demo import ensure_demo_model
from trainer.preflight.worst_step import measure_worst_step

RESULTS = Path(__file__).parent / "results" / "memory_cpu.jsonl"
MEDIAN = (0.93, 1.07)
INSIDE = 0.85
MIB = 2**20
WORDS = ("the rank of a model and its rate as one batch of many tokens " * 2).split()
WIDE = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 6, "num_attention_heads": 4}
"""Of a model with the demo's vocabulary: nearly all of its memory is the loss."""

Plan = tuple[str, str, str, int, int, bool]
"""Model, method, precision, length, rows, checkpointing."""
PLANS: tuple[Plan, ...] = (
    ("135M", "lora", "fp32", 320, 1, True),
    ("0.1M", "lora", "fp32", 256, 1, False),
    ("135M", "lora", "bf16", 192, 1, False),
    ("1M", "lora", "fp32", 256, 3, True),
    ("135M", "nf4", "bf16", 128, 2, True),
    ("7M", "lora", "fp32", 96, 2, True),
    ("135M", "lora", "fp32", 160, 1, False),
    ("1M", "full", "fp32", 512, 1, False),
    ("135M", "nf4", "fp32", 192, 1, True),
    ("7M", "lora", "bf16", 384, 1, False),
    ("135M", "full", "bf16", 96, 1, False),
    ("0.1M", "lora", "bf16", 512, 1, True),
    ("135M", "lora", "bf16", 384, 1, True),
    ("1M", "lora", "bf16", 1024, 1, False),
    ("135M", "lora", "fp32", 96, 4, True),
    ("7M", "full", "fp32", 640, 1, True),
)


def config_of(plan: Plan, models: dict[str, Path], scratch: Path) -> FinetuneConfig:
    """A plan's configuration: rows that are all as long as the limit, every token trained."""
    name, method, precision, length, rows, checkpointing = plan
    data = scratch / f"{length}.jsonl"
    data.write_text("".join(json.dumps({"text": " ".join(WORDS * (length // 8))}) + "\n" for _ in range(8)))
    return FinetuneConfig.model_validate(
        {
            "model": str(models[name]),
            "method": {"nf4": "qlora"}.get(method, method),
            "quantization": {"bits": 4 if method == "nf4" else None},
            "lora": {"r": 16},
            "data": {
                "train": [str(data)],
                "eval_fraction": 0.0,
                "max_length": length,
                "packing": False,
                "train_on": "all",
                "allow_cut_rows": True,
            },
            "training": {
                "per_device_train_batch_size": rows,
                "gradient_accumulation_steps": 1,
                "optim": "adamw_torch",
                "precision": precision,
                "gradient_checkpointing": checkpointing,
                "attn_implementation": "sdpa",
            },
        }
    )


def make_models(scratch: Path) -> dict[str, Path]:
    """Folders of the four models by name."""
    demo = ensure_demo_model()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        wide = process.submit(random_model, scratch / "7M", demo).result()
    return {
        "135M": demo,
        "0.1M": build_tiny_llama(scratch / "0.1M"),
        "1M": build_tiny_llama(scratch / "1M", hidden=192, layers=3),
        "7M": wide,
    }


def random_model(folder: Path, demo: Path) -> Path:
    """A small Llama with the demo model's tokenizer; needs torch."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    vocabulary = json.loads((demo / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    settings: Any = LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=True, **WIDE)
    AutoModelForCausalLM.from_config(settings).float().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(demo / name, folder / name)
    return folder


def measure(plan: Plan, models: dict[str, Path], scratch: Path) -> dict[str, Any]:
    """One row of the results."""
    config = config_of(plan, models, scratch)
    spec, device = read_model(config.model), device_for_cpu(probe())
    dataset = profile_data(config.data, model=spec)
    answer = estimate(config, spec, replace(device, simulated=True), dataset.profile)
    measured = measure_worst_step(config, device, answer) or {}
    peak, truth = answer.peak, int(measured["process_bytes"])
    return {
        "plan": list(plan),
        "truth_mib": round(truth / MIB, 1),
        "estimate_mib": round(peak.process_bytes / MIB, 1),
        "ratio": round(truth / peak.process_bytes, 3),
        "inside": peak.low_bytes <= truth <= peak.high_bytes,
        "device": device.name,
        "torch": device.torch_version,
    }


def main() -> int:
    """Print and keep a row each; 1 beyond the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--plans", type=int, default=len(PLANS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        os.environ["XDG_STATE_HOME"] = str(scratch / "state")
        models = make_models(scratch)
        for plan in PLANS[: chosen.plans]:
            rows.append(row := measure(plan, models, scratch))
            print(json.dumps(row), flush=True)
            with chosen.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    ratios = sorted(row["ratio"] for row in rows)
    middle, inside = median(ratios), sum(row["inside"] for row in rows) / len(rows)
    print(f"{len(rows)} plans: truth/estimate {ratios[0]} to {ratios[-1]}, median {middle:.3f}; {inside:.0%} inside")
    return int(not MEDIAN[0] <= middle <= MEDIAN[1] or inside < INSIDE)


if __name__ == "__main__":
    sys.exit(main())
