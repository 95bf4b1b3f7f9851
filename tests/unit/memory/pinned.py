"""Estimates of 240 drawn configurations, pinned: `python -m tests.unit.memory.pinned` writes them anew.

The truth of a formula is in benchmarks/; these figures say that a change meant to alter none has altered none.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.synthetic import synthetic_profile
from recommender.estimate.estimate import estimate
from recommender.model.families import spec_from_config
from recommender.model.family_table import FAMILIES
from recommender.model.spec import ModelSpec
from tests.unit.memory.cases import DEVICES, STACKS

PLACE = Path(__file__).with_name("pinned.json")
SEED, DRAWN = 20, 240
METHODS = (("qlora", 4), ("qlora", 4), ("qlora", 8), ("lora", None), ("lora", None), ("full", None))


def pins() -> dict[str, dict[str, Any]]:
    """The estimates by case, as the file has them."""
    pick = random.Random(SEED)
    found: dict[str, dict[str, Any]] = {}
    while len(found) < DRAWN:
        found |= _pin(pick)
    return found


def _pin(pick: random.Random) -> dict[str, dict[str, Any]]:
    """One drawn case; none where the estimator refuses it."""
    family, device, stack = pick.choice(sorted(FAMILIES)), pick.choice(DEVICES), pick.choice(STACKS)
    model, config = _model(pick, family), _config(pick)
    rows, mean = pick.choice((40, 900, 20_000)), pick.choice((60, 300, 1500))
    try:
        said = estimate(config, model, device, synthetic_profile(rows, mean), stack=stack)
    except InputError:
        return {}
    time = said.time
    seconds = (time.step_seconds, time.total_seconds, time.low_seconds, time.high_seconds) if time else ()
    return {
        f"{family} {config.method} {device.name} {stack} {pick.randrange(10**6)}": {
            "fits": said.fits,
            "peak": [
                *(said.peak.allocated_bytes, said.peak.reserved_bytes, said.peak.process_bytes),
                *(said.peak.low_bytes, said.peak.high_bytes, said.peak.cache_bytes),
            ],
            "parts": dict(said.parts),
            "phases": dict(said.phases),
            "beside": [
                *(said.trainable_parameters, said.adapter_bytes, said.checkpoint_bytes),
                *(said.host_bytes, said.disk_bytes),
            ],
            "seconds": [None if one is None else float(f"{one:.6g}") for one in seconds],
        }
    }


def _model(pick: random.Random, family: str) -> ModelSpec:
    """A model of this family, small to large."""
    heads, width = pick.choice((8, 16, 32)), pick.choice((64, 128))
    return spec_from_config(
        {
            "model_type": family,
            "hidden_size": heads * width,
            "num_hidden_layers": pick.choice((1, 2, 16, 32)),
            "intermediate_size": pick.choice((1024, 5632, 14336)),
            "moe_intermediate_size": pick.choice((384, 768)),
            "num_attention_heads": heads,
            "num_key_value_heads": heads // pick.choice((1, 2, 4)),
            "head_dim": width,
            "num_local_experts": 16,
            "num_experts": 16,
            "num_experts_per_tok": 4,
            "vocab_size": pick.choice((512, 32_000, 128_256, 256_000)),
            "tie_word_embeddings": pick.random() < 0.5,
            "attention_bias": pick.random() < 0.3,
        },
        family,
    )


def _config(pick: random.Random) -> FinetuneConfig:
    """A configuration of what people vary, and of what they seldom do."""
    method, bits = pick.choice(
        (("qlora", 4), ("qlora", 4), ("qlora", 8), ("lora", None), ("lora", None), ("full", None))
    )
    return FinetuneConfig.model_validate(
        {
            "model": "drawn",
            "method": method,
            "quantization": {"bits": bits, "double_quant": pick.random() < 0.5},
            "lora": {
                "r": pick.choice((8, 16, 64)),
                "lora_dropout": pick.choice((0.0, 0.0, 0.1)),
                "use_dora": pick.random() < 0.15,
                "init_lora_weights": pick.choice((True, True, True, True, "pissa", "pissa_niter_16", "olora")),
                "target_modules": pick.choice(("all-linear", "all-linear", ["o_proj"], ["o_proj", "q_proj", "v_proj"])),
                "bias": pick.choice(("none", "none", "none", "all", "lora_only")),
                "modules_to_save": pick.choice(([], [], [], ["lm_head"], ["embed_tokens", "lm_head"])),
            },
            "data": {"max_length": pick.choice((128, 1000, 4096)), "packing": pick.choice((False, False, True))},
            "training": {
                "per_device_train_batch_size": pick.choice((1, 2, 7)),
                "gradient_accumulation_steps": pick.choice((1, 8)),
                "precision": pick.choice(("bf16", "bf16", "fp16", "fp32")),
                "optim": pick.choice(("adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "sgd")),
                "gradient_checkpointing": pick.random() < 0.6,
                "activation_offloading": pick.random() < 0.15,
                "neftune_noise_alpha": pick.choice((None, None, None, 5.0)),
                "attn_implementation": pick.choice(("sdpa", "flash_attention_2", "eager")),
            },
        }
    )


def lines(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The file, a case a line."""
    yield "{"
    for index, (name, pin) in enumerate(found.items()):
        yield f"{json.dumps(name)}: {json.dumps(pin)}{',' if index + 1 < len(found) else ''}"
    yield "}"


if __name__ == "__main__":
    PLACE.write_text("\n".join(lines(pins())) + "\n", encoding="utf-8")
