"""LoRA's variants that a plan leaves off, with the cost of turning them on and published gains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from presets.errors import InputError
from presets.variants import load_variants
from recommender.config.edit import value_of
from recommender.model.spec import ModelSpec
from recommender.rules.base import Context, PricedContext, Reasons, Rule, Values, by_how_much, slower
from recommender.rules.reason import Evidence, Reason
from recommender.units import count, gib, percent

INIT = "lora.init_lora_weights"
RS_FROM = 512
"""Highest rank that was published to train well with alpha / r (LoRA Without Regret). Beyond it the update would vanish
with the rank (Kalajdzievski 2023), so that the scale falls with its root from there on."""


def variants(context: Context) -> Values:
    """Variants of LoRA: rank-stabilised scaling above a rank, the others off."""
    return {
        "lora.use_rslora": context.config.lora.r > RS_FROM,
        "lora.use_dora": False,
        INIT: True,
        "lora.bias": "none",
        "lora.modules_to_save": [],
        "lora.rank_pattern": {},
        "lora.alpha_pattern": {},
    }


def explain_variants(context: PricedContext, values: Values) -> Reasons:
    """Return the reasons for leaving each variant off, with published measurements and its price here."""
    found = {
        **_scaling_variants(context, high=values["lora.use_rslora"]),
        **_start_variants(context),
        **_pattern_variants(),
    }
    return {key: replace(reason, value=values[key]) for key, reason in found.items()}


def _scaling_variants(context: PricedContext, *, high: bool) -> Reasons:
    return {
        "lora.use_rslora": Reason(
            high,
            f"Beyond rank {RS_FROM} the update would vanish under lora_alpha / r: it is divided by the rank's root."
            if high
            else "With lora_alpha / r the best learning rate moves little with the rank, and it was measured so, up to "
            f"rank {RS_FROM}; rank-stabilised scaling would need another.",
            "Thinking Machines, LoRA Without Regret (2025); Kalajdzievski 2023 (rsLoRA)",
            "medium",
            evidence=measured_of("lora.use_rslora"),
            others="Unsloth advises it for continued pre-training at high rank.",
            costs="none",
        ),
        "lora.use_dora": Reason(
            False,
            "Off: it makes the whole update of every layer in every pass, to take its norm, however few tokens there "
            "are. Its paper gains most at ranks 4 and 8; where the rate was tuned for each, little is left.",
            "Liu et al. 2024 (DoRA); PEFT, lora/dora.py; Lee et al. 2026 (Learning Rate Matters)",
            "medium",
            evidence=measured_of("lora.use_dora"),
            others="The DoRA paper finds it better than LoRA at every rank that it tried, its authors about 20 % "
            "slower.",
            costs=_switched(context, "lora.use_dora", False, True),
        ),
    }


def _switched(context: PricedContext, key: str, off: Any, on: Any) -> str:
    """Return the cost in memory and time of turning a variant on, or of having it on.

    Nothing where the other choice has no price: a class is learned by traces, and none follows DoRA over quantised
    weights.
    """
    if context.config.method == "full":
        return ""
    try:
        without, with_it = context.compared({key: off}), context.compared({key: on})
    except InputError:
        return ""
    if without is None or with_it is None:
        return ""
    more = gib(max(0, with_it.peak.process_bytes - without.peak.process_bytes))
    time = by_how_much(slower(without, with_it))
    if value_of(context.config, key) == on:
        return f"It takes {more} more" + (f" and is {time} than without." if time else " than without.")
    return f"On, it would take {more} more" + (f" and be {time}." if time else ".")


def measured_of(key: str) -> tuple[Evidence, ...]:
    """Return the published measurements of a variant."""
    return tuple(Evidence(line.what, line.found, line.by) for line in load_variants()[key])


def _start_variants(context: PricedContext) -> Reasons:
    return {
        INIT: Reason(
            True,
            "B starts at zero, so the first step starts from the base model exactly, and the learning rate was "
            "measured so: other starts want other rates.",
            "Hu et al. 2021 (LoRA), section 4.1; Lee et al. 2026 (Learning Rate Matters)",
            "high",
            evidence=measured_of(INIT),
            others="PiSSA and LoftQ start from the weights' singular vectors and report gains in their papers; Unsloth "
            "offers LoftQ and warns of the memory that it takes at the start.",
            costs=_start_costs(context),
        ),
        "lora.bias": Reason(
            "none",
            _biases(context.model),
            "PEFT, LoraConfig; Unsloth: none is the optimised path",
            "high",
            costs="none",
        ),
        "lora.modules_to_save": Reason(
            [],
            "No layer is trained in full: the embedding and the head only need it for new tokens.",
            "PEFT, LoraConfig",
            "high",
            others="Unsloth trains embedding and head in continued pre-training.",
            costs=f"Embedding and head would be {count(_embeddings(context.model))} more trained parameters.",
        ),
    }


def _start_costs(context: PricedContext) -> str:
    """Return the cost of the initialisation that this base allows, in the estimate's phase of initialisation."""
    if context.config.method == "full":
        return ""
    start = "loftq" if context.config.quantization.bits == 4 else "pissa"
    if context.config.quantization.bits == 8 or context.model.quantization is not None:
        return "Over these weights only olora and gaussian can start otherwise."
    usual, other = context.priced({INIT: True}), context.priced({INIT: start})
    peak = other.peak.process_bytes - usual.peak.process_bytes
    more = f"{gib(peak)} more" if peak > 0 else "no more memory"
    return f"{start} would take {more}, and one decomposition of every adapted weight before the first step."


def _biases(model: ModelSpec) -> str:
    biases = sum(linear.count * linear.out_features for linear in model.linears if linear.bias)
    if not biases:
        return "This model's linear layers have no biases to train."
    return (
        f"The linear layers have {count(biases)} biases, {percent(biases / model.total_parameters)} of the model. "
        "Training them changes the model even with the adapter off."
    )


def _pattern_variants() -> Reasons:
    return {
        "lora.rank_pattern": Reason(
            {},
            "One rank for all layers.",
            "Raschka 2023, question 10: ranks by layer add choices without a proven gain",
            "medium",
            costs="none",
        ),
        "lora.alpha_pattern": Reason(
            {},
            "One scale for all layers, as one rank.",
            "PEFT, LoraConfig",
            "medium",
            costs="none",
        ),
    }


def _embeddings(model: ModelSpec) -> int:
    return model.embedding_parameters + model.head_parameters


RULES = (
    Rule(
        "variants",
        (
            "lora.use_rslora",
            "lora.use_dora",
            INIT,
            "lora.bias",
            "lora.modules_to_save",
            "lora.rank_pattern",
            "lora.alpha_pattern",
        ),
        variants,
        explain_variants,
    ),
)
