"""Hold the estimator against Axolotl's recipes for new families: `python -m benchmarks.vram_recipes [WORD...]`.

`benchmarks/reference/vram_recipes.csv`: recipes on one GPU with the memory that their authors say they used, rounded.
Where the counter is not named it is taken as the driver's, as for other figures of theirs; Gemma 4's page says
reserved. In the unit that their page writes. Each is priced with TRL's fused loss in place of theirs, flash attention,
rows packed to the length of the row, and the optimizer's states as named. Of two figures the first is without, the
second with adapters on the experts. Rows are not packed over a recurrent state, which costs the same memory.
Exit 1 when the median error is above 12 %, a card of 0.9 of a figure gets a 'yes', or more than two recipes cannot be
expressed. With words, only recipes whose name has one of them. What is not learned yet is learned first, minutes each.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.reference_rows import GIB, HERE
from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.estimate.estimate import estimate
from recommender.machine.devices import device_from_memory
from recommender.model.reader import read_model
from recommender.model.spec import ModelSpec
from recommender.plan.checks.conflicts import refuse_untrainable
from trainer.anatomy.ask import completed
from trainer.learn.ask import learning_here

MEDIAN, SHARE, UNEXPRESSED = 0.12, 0.9, 2
LARGE = 200 * GIB
"""A card on which every recipe has room."""
STACK = "trl"
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
TARGETS: Mapping[str, list[str]] = {
    "gemma4/31b-qlora.yaml": [*ATTENTION, *MLP],
    "internvl3_5/internvl3_5-8b-qlora.yml": [*ATTENTION, *MLP],
    "glm45/glm-45-air-qlora.yaml": ATTENTION,
    "glm47-flash/qlora.yaml": ATTENTION,
    "qwen3.5/27b-qlora.yaml": [*ATTENTION, "up_proj", "down_proj"],
    "qwen3-next/qwen3-next-80b-a3b-qlora.yaml": [
        *("in_proj_ba", "in_proj_qkvz", "out_proj", "shared_expert_gate"),
        *ATTENTION,
        *MLP,
    ],
}
"""Targets that the table cuts off, as the recipes have them (axolotl-ai-cloud/axolotl at 067b021, examples/)."""
OPTIMIZERS: Mapping[str, tuple[str, float]] = {
    "adamw_torch": ("adamw_torch", 1.0),
    "adamw_bnb_8bit": ("adamw_8bit", 1.0),
    "adamw_torch_8bit": ("adamw_8bit", 1.0),
    "adamw_torch_4bit": ("adamw_8bit", 0.5),
}
"""Our name of an optimizer, and which part of its states theirs has."""

DROPOUT = {
    "devstral/devstral-small-qlora.yml": 0.0,
    "gemma4/31b-qlora.yaml": 0.0,
    "glm45/glm-45-air-qlora.yaml": 0.0,
    "glm47-flash/qlora.yaml": 0.0,
    "qwen3.5/27b-qlora.yaml": 0.0,
    "qwen3-next/qwen3-next-80b-a3b-qlora.yaml": 0.0,
}
"""The adapter's dropout, which the table leaves out, where a recipe has another than theirs of old, 0.05."""
USUAL_DROPOUT = 0.05
GB = {"devstral/devstral-small-qlora.yml", "magistral/magistral-small-qlora.yaml", "llama-3/lora-8b.yml"}
"""Recipes whose page says GB; the others say GiB."""
RESERVED = {"gemma4/31b-qlora.yaml"}
"""Recipes whose page says that it is what PyTorch reserved."""

Recipe = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the table, priced."""

    recipe: str
    experts: bool
    said: float
    """GiB."""
    found: float
    """GiB, by the formula."""
    fits: str
    """Return true when a card of 0.9 of the reported memory is answered with yes."""

    @property
    def error(self) -> float:
        """Relative error."""
        return self.found / self.said - 1

    def __str__(self) -> str:
        name = f"{self.recipe}{', experts' if self.experts else ''}"
        return f"{name:52s} {self.said:6.2f} {self.found:6.2f} {self.error:+7.1%}  {SHARE} of it: {self.fits}"


def recipes() -> list[Recipe]:
    """The rows of the table."""
    with (HERE / "vram_recipes.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def figures_of(recipe: Recipe) -> list[float]:
    """Reported memory: of two figures the first is without adapters on the experts."""
    unit = 10**9 if recipe["config"] in GB else GIB
    return [float(figure) * unit / GIB for figure in re.findall(r"\d+(?:\.\d+)?", recipe["vram_gib"])]


def config_of(recipe: Recipe, model: ModelSpec, *, experts: bool) -> FinetuneConfig:
    """The configuration that was run; of its targets those that the model has, as PEFT takes them."""
    here = {linear.name for linear in model.linears}
    wanted = TARGETS.get(recipe["config"])
    bits, packs = int(recipe["bits"].split()[0]), recipe["packing"] == "true" and not model.carries_state
    return FinetuneConfig.model_validate(
        {
            "model": recipe["base_model"],
            "method": "qlora",
            "quantization": {"bits": bits},
            "lora": {
                "r": int(recipe["r"]),
                "target_modules": [name for name in wanted if name in here] if wanted else "all-linear",
                "lora_dropout": DROPOUT.get(recipe["config"], USUAL_DROPOUT),
                "experts": experts,
            },
            "data": {"max_length": int(recipe["seq"]), "packing": packs},
            "training": {
                "per_device_train_batch_size": int(recipe["micro_batch"]),
                "gradient_checkpointing": recipe["gradient_checkpointing"] == "true",
                "attn_implementation": recipe["attention"],
                "optim": OPTIMIZERS[recipe["optim"]][0],
                "precision": "bf16",
            },
        }
    )


def priced(recipe: Recipe) -> Iterator[Figure]:
    """The figures of a recipe.

    Raises:
        InputError: It cannot be expressed.
    """
    model = completed(read_model(recipe["base_model"], offline=True))
    card = device_from_memory(LARGE)
    for place, said in enumerate(figures_of(recipe)):
        experts = place > 0
        config = config_of(recipe, model, experts=experts)
        refuse_untrainable(config, model, card)
        with learning_here():
            large = estimate(config, model, card, stack=STACK, known=())
            small = estimate(config, model, device_from_memory(round(SHARE * said * GIB)), stack=STACK, known=())
        spared = large.parts["optimizer"] * (1 - OPTIMIZERS[recipe["optim"]][1])
        reserved = recipe["config"] in RESERVED
        counted = large.peak.process_bytes - (large.parts["context"] if reserved else 0)
        yield Figure(recipe["config"], experts, said, (counted - spared) / GIB, small.fits)


def main() -> int:
    """Print the table; 1 when a limit is missed."""
    figures: list[Figure] = []
    refused: list[str] = []
    asked = sys.argv[1:]
    for recipe in recipes():
        if asked and not any(word in recipe["config"] for word in asked):
            continue
        try:
            for figure in priced(recipe):
                figures.append(figure)
                print(figure, flush=True)
        except InputError as why:
            refused.append(f"{recipe['config']}: {why.message}")
            print(refused[-1], flush=True)
    off = median(abs(figure.error) for figure in figures) if figures else 0.0
    said_yes = sum(figure.fits == "yes" for figure in figures)
    print(
        f"{len(figures)} figures: median error {off:.1%} (limit {MEDIAN:.0%}); 'yes' with {SHARE} of a figure: "
        f"{said_yes} (limit 0); not expressed: {len(refused)} (limit {UNEXPRESSED})"
    )
    return int(off > MEDIAN or said_yes > 0 or len(refused) > UNEXPRESSED)


if __name__ == "__main__":
    sys.exit(main())
