"""Hold the formula against the trace: `python -m benchmarks.formula_vs_trace [N] [--rows] [--full] [--experts]`.

N random configurations (170 where none is given, ten of every family of `recommender/model/family_table.py`, each
twice on every stack) of 2 or 3 layers; with --full, ten catalogue models at full depth too, with --experts mixtures of
experts of three layers. The two tiers share no arithmetic, so what
they agree on is not one tier's mistake. Exit 1 when a limit is missed. Prints too what the simulated allocator holds
beyond allocated memory with expandable segments, as `recommender/memory/fitted.py` has it. Runs in this process, with
torch.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import cycle, product
from typing import Any

from benchmarks.fit_memory import weighted_median
from presets.errors import InputError
from presets.models import load_models
from recommender.config.schema import FinetuneConfig
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Device
from recommender.memory.price import price
from recommender.memory.stacks import STACKS
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.facts import facts_of
from recommender.model.families import spec_from_config
from recommender.model.family_table import FAMILIES
from recommender.model.spec import ModelSpec

SEED = 20261121
CARDS = ("RTX 4090", "A100 PCIe 80GB", "H100 SXM 80GB", "T4")
MEDIAN, TAIL = 0.01, 0.04
FULL_DEPTH = 10
EXPERTS = {
    "hidden_size": 1024,
    "num_hidden_layers": 3,
    "intermediate_size": 2048,
    "moe_intermediate_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 32000,
    "num_local_experts": 16,
    "num_experts_per_tok": 4,
}


def random_model(pick: random.Random, family: str) -> ModelSpec:
    """A model of 2 or 3 layers with a real model's proportions."""
    heads = pick.choice((8, 16))
    hidden = heads * pick.choice((64, 128))
    mixture = {"moe_intermediate_size": 512, "num_local_experts": 8, "num_experts": 8, "num_experts_per_tok": 2}
    return spec_from_config(
        {
            "model_type": family,
            "hidden_size": hidden,
            "num_hidden_layers": pick.randint(2, 3),
            "intermediate_size": hidden * pick.choice((3, 4)),
            "num_attention_heads": heads,
            "num_key_value_heads": heads // pick.choice((1, 2, 4)),
            "head_dim": hidden // heads,
            "vocab_size": pick.choice((32000, 49152, 128256, 256000)),
            "tie_word_embeddings": pick.random() < 0.5,
            **(mixture if FAMILIES[family].experts else {}),
        },
        family,
    )


def random_config(pick: random.Random, family: str) -> FinetuneConfig:
    """A random configuration of what people vary; SDPA only for families that Transformers runs with it."""
    method, bits = pick.choice((("qlora", 4), ("qlora", 4), ("qlora", 8), ("lora", None), ("full", None)))
    lora: dict[str, Any] = {
        "r": pick.choice((8, 16, 64, 128)),
        "lora_dropout": pick.choice((0.0, 0.0, 0.1)),
        "target_modules": pick.choice(("all-linear", ["o_proj"])),
    }
    fused = "sdpa" if facts_of(family).sdpa else "eager"
    training = {
        "per_device_train_batch_size": pick.choice((1, 2, 4)),
        "gradient_accumulation_steps": pick.choice((1, 8)),
        "gradient_checkpointing": pick.random() < 0.75,
        "attn_implementation": pick.choice((fused, "flash_attention_2", "eager")),
        "optim": pick.choice(("adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "sgd")),
        "precision": pick.choice(("bf16", "bf16", "fp16")),
    }
    return FinetuneConfig.model_validate(
        {
            "model": "random",
            "method": method,
            "quantization": {"bits": bits},
            "lora": lora,
            "data": {"max_length": pick.choice((512, 1024, 2048, 4096)), "packing": False},
            "training": training,
        }
    )


def random_cases(count: int) -> Iterator[Workload]:
    """So many cases, the same every time."""
    pick = random.Random(SEED)
    cards = [device_from_catalogue(name) for name in CARDS]
    for (stack, family), _ in zip(cycle(product(STACKS.values(), FAMILIES)), range(count), strict=False):
        model, config = random_model(pick, family), random_config(pick, family)
        yield resolve_workload(config, model, pick.choice(cards), None, stack)


def deep_cases() -> Iterator[Workload]:
    """Dense catalogue models at full depth, QLoRA with this project's own trainer."""
    from recommender.model.reader import read_model

    device: Device = device_from_catalogue("A100 PCIe 80GB")
    names = [known.name for known in load_models()]
    found = 0
    for name in names:
        spec = read_model(name)
        if found < FULL_DEPTH and not spec.unsupported and not spec.num_experts:
            found += 1
            config = FinetuneConfig.model_validate(
                {"model": name, "quantization": {"bits": 4}, "training": {"attn_implementation": "flash_attention_2"}}
            )
            yield resolve_workload(config, spec, device, None, STACKS["trl"])


def expert_cases() -> Iterator[Workload]:
    """Every family of experts, in 4 and 16 bits, with and without checkpointing."""
    device = device_from_catalogue("A100 PCIe 80GB")
    for family in ("mixtral", "qwen3_moe", "gpt_oss", "olmoe", "granitemoe"):
        spec = spec_from_config(EXPERTS | {"model_type": family}, family)
        for bits, checkpointing, length in product((4, None), (True, False), (1024, 4096)):
            config = FinetuneConfig.model_validate(
                {
                    "model": family,
                    "method": "qlora" if bits else "lora",
                    "quantization": {"bits": bits},
                    "data": {"max_length": length, "packing": False},
                    "training": {"gradient_checkpointing": checkpointing, "attn_implementation": "eager"},
                }
            )
            yield resolve_workload(config, spec, device, None, STACKS["trl"])


def held_share(cases: list[tuple[Workload, dict[str, Any]]], *, eager: bool) -> float:
    """Reserved beyond allocated memory, as a share of activations and loss: a weighted median, as in `fit_memory`."""
    pairs = []
    for case, traced in cases:
        if case.stack.expandable_segments and (case.config.training.attn_implementation == "eager") == eager:
            moving = traced["parts"].get("activations", 0) + traced["parts"].get("loss", 0)
            if moving:  # at the optimizer's step nothing moves
                pairs.append(((traced["reserved"] - traced["allocated"]) / moving, moving / traced["allocated"]))
    return weighted_median(pairs)


def compare(case: Workload) -> tuple[float, dict[str, Any]]:
    """The formula's allocated bytes over the trace's, less one; and the trace's answer.

    Raises:
        InputError: It does not trace.
    """
    from trainer.trace.__main__ import Speaker, trace_order
    from trainer.trace.architecture import architecture_of
    from trainer.trace.order import make_order

    class Silent(Speaker):
        def progress(self, phase: str, done: int, total: int) -> None:
            """Nothing."""

    traced = trace_order(make_order(case, architecture_of(case.model)), Silent())
    return float(price(case).allocated / traced["allocated"] - 1), traced


def label(case: Workload) -> str:
    """The workload in a line."""
    training, model = case.config.training, case.model
    return (
        f"{model.model_type:11s} {model.num_layers:2d}×{model.hidden_size:4d} {case.config.method} {case.bits} "
        f"{case.rows}x{case.length} {training.attn_implementation} {training.precision} {training.optim} "
        f"ckpt={training.gradient_checkpointing} drop={case.config.lora.lora_dropout} {case.stack.name}"
    )


def main() -> int:
    """Print the table; 1 when a limit is missed."""
    count = next((int(word) for word in sys.argv[1:] if word.isdigit()), 170)
    cases = [*random_cases(count), *(deep_cases() if "--full" in sys.argv else ())]
    cases += expert_cases() if "--experts" in sys.argv else ()
    errors: list[float] = []
    answers: list[tuple[Workload, dict[str, Any]]] = []
    for case in cases:
        try:
            error, traced = compare(case)
        except InputError as refused:
            print(f"{label(case):120s} refused: {refused.message}", flush=True)
            continue
        errors.append(abs(error))
        answers.append((case, traced))
        if "--rows" in sys.argv:
            print(f"{label(case):120s} {error:+7.2%}", flush=True)
    errors.sort()
    median, tail = errors[len(errors) // 2], errors[min(len(errors) - 1, int(0.95 * len(errors)))]
    print(f"formula against trace, {len(errors)} configurations: median {median:.2%}, 95th percentile {tail:.2%}")
    shares = ", ".join(
        f"{'scores' if eager else 'plain'} {held_share(answers, eager=eager):.3f}" for eager in (False, True)
    )
    print(f"held by expandable segments beyond allocated, share of activations and loss: {shares}")
    return int(median > MEDIAN or tail > TAIL)


if __name__ == "__main__":
    sys.exit(main())
