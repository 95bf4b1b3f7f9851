"""Plans for 60 drawn machines, models and data, pinned: `python -m tests.unit.plan.pinned` writes them anew.

Whether a plan is good is asked by tests/unit/rules and benchmarks/; these say that a change meant to alter none has
altered none. Of a reason the checksum of its text is kept.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from zlib import crc32

from presets.errors import InputError
from recommender.data.profile.synthetic import synthetic_profile
from recommender.model.reader import read_model
from recommender.plan.document import document
from recommender.plan.recommend import recommend
from recommender.plan.request import GOALS
from recommender.plan.types import Plan
from tests.unit.memory.pinned import lines
from tests.unit.plan import facts

PLACE = Path(__file__).with_name("pinned.json")
SEED, DRAWN = 21, 60
CARDS = (
    *(facts.RTX_3090, facts.RTX_4090, facts.RTX_5090, facts.LAPTOP, facts.TINY_CARD, facts.T4, facts.V100, facts.H200),
    *(facts.UNKNOWN_24, facts.CPU),
)
MODELS = (
    *("smollm2-135m-instruct", "llama-3.2-1b-instruct", "qwen3-4b", "llama-3.1-8b-instruct", "gemma-2-9b-it"),
    *("qwen2.5-32b-instruct", "qwen3-30b-a3b"),
)
OVERRIDES: tuple[dict[str, Any], ...] = (
    *({}, {}, {}, {"lora.r": 64}, {"method": "full"}, {"data.max_length": 8192}, {"quantization.bits": 8}),
    *({"training.learning_rate": 1e-3}, {"training.gradient_checkpointing": False}, {"lora.use_dora": True}),
    *({"lora.target_modules": ["q_proj", "v_proj"]}, {"data.packing": True}, {"training.max_steps": 50}),
)


def pins() -> dict[str, dict[str, Any]]:
    """The plans by case, as the file has them."""
    pick = random.Random(SEED)
    return {f"{case} {name}": pin for case in range(DRAWN) for name, pin in (_pin(pick),)}


def _pin(pick: random.Random) -> tuple[str, dict[str, Any]]:
    """A drawn case and its plan, or the refusal."""
    name, device, goal = pick.choice(MODELS), pick.choice(CARDS), pick.choice(GOALS)
    rows, mean, overrides = pick.choice((1, 2, 30, 900, 50_000)), pick.choice((40, 300, 2500)), pick.choice(OVERRIDES)
    data = synthetic_profile(rows, mean) if pick.random() < 0.9 else None
    case = f"{name} on {device.name}, {goal}, {rows} x {mean}, {overrides}"
    try:
        return case, _pinned(recommend(read_model(name), device, data, goal=goal, overrides=overrides))
    except InputError as refusal:
        return case, {"refused": str(refusal)}


def _pinned(plan: Plan) -> dict[str, Any]:
    said = document(plan, None)
    return {
        "config": said["config"],
        "bytes": said["estimate"]["peak"],
        "fits": said["estimate"]["fits"],
        "reasons": {key: crc32(json.dumps(reason, sort_keys=True).encode()) for key, reason in said["reasons"].items()},
        "alternatives": [[one["goal"], one["gives_up"], one["gains"]] for one in said["alternatives"]],
        "remedies": said["remedies"],
        "findings": [one["code"] for one in said["findings"]],
    }


if __name__ == "__main__":
    PLACE.write_text("\n".join(lines(pins())) + "\n", encoding="utf-8")
