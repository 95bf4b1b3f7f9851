"""Cost of LoRA's variants on a CPU: seconds to prepare the adapter, and seconds of a step against plain LoRA's.

One thread, and the processor's seconds: what else the machine does is not counted. Steps of all variants take turns,
and the middle one is taken.

    python -m benchmarks.variants [--steps N] [--rows N] [--length N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from recommender.config.schema import Lora
from trainer.models.demo import ensure_demo_model

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "LoRA": {},
    "DoRA": {"use_dora": True},
    "rsLoRA": {"use_rslora": True},
    "dropout 0.1": {"lora_dropout": 0.1},
    "PiSSA, quick": {"init_lora_weights": "pissa_niter_16"},
    "OLoRA": {"init_lora_weights": "olora"},
    "LoRA, q and v": {"target_modules": ["q_proj", "v_proj"]},
    "DoRA, q and v": {"target_modules": ["q_proj", "v_proj"], "use_dora": True},
}


@dataclass
class Measured:
    """One variant."""

    model: Any
    prepared: float
    """Seconds that the adapter took to make."""
    steps: list[float] = field(default_factory=list)
    """Seconds of forward and backward passes."""


def prepare(lora: Lora) -> Measured:
    """The small model with one variant's adapter."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from trainer.worker.setup.adapter import adapter_config

    base = AutoModelForCausalLM.from_pretrained(ensure_demo_model(), dtype=torch.float32)
    began = time.process_time()
    model = get_peft_model(base, adapter_config(lora, base))
    model.train()
    return Measured(model, time.process_time() - began)


def step(one: Measured, tokens: Any) -> None:
    """A forward and a backward pass."""
    began = time.process_time()
    one.model(input_ids=tokens, labels=tokens).loss.backward()
    one.steps.append(time.process_time() - began)
    one.model.zero_grad(set_to_none=True)


def main() -> int:
    """Print the table."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="these, and plain LoRA")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    names = [name for name in VARIANTS if name in ("LoRA", *options.only)]
    variants = {name: prepare(Lora(r=options.rank, **VARIANTS[name])) for name in names}
    tokens = torch.randint(0, 40_000, (options.rows, options.length))
    for _ in range(options.steps + 1):
        for one in variants.values():
            step(one, tokens)
    plain = median(variants["LoRA"].steps[1:])
    print(f"SmolLM2-135M in fp32, r {options.rank}, {options.rows} × {options.length} tokens, processor's seconds")
    print("| variant | prepared | step | against LoRA |\n|---|---|---|---|")
    for name, one in variants.items():
        middle = median(one.steps[1:])
        print(f"| {name} | {one.prepared:.1f} s | {middle:.2f} s | {middle / plain - 1:+.0%} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
