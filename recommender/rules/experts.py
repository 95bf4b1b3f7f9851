"""A mixture's experts: how they are held, and whether they are adapted."""

from __future__ import annotations

from recommender.model.experts import fused_weights, packs_experts
from recommender.rules.base import Context, PricedContext, Reasons, Rule, Values, by_how_much, slower
from recommender.rules.reason import Reason
from recommender.units import count, gib

HELD, ADAPTED = "quantization.experts", "lora.experts"


def experts(_: Context) -> Values:
    """Experts in 4 bits with the rest of the base, and no adapter on them."""
    return {HELD: "auto", ADAPTED: "auto"}


def explain_experts(context: PricedContext, values: Values) -> Reasons:
    """Return the reasons for 4-bit experts and for frozen ones, with what each other choice takes here."""
    weights = fused_weights(context.model)
    if not weights:
        none = "Without effect: this model has no fused experts."
        return {key: Reason(values[key], none, "Transformers 5", "high", costs="none") for key in (HELD, ADAPTED)}
    return {
        HELD: Reason(
            values[HELD],
            _why_held(context, sum(weight.parameters for weight in weights)),
            "Dettmers et al. 2023 (QLoRA): NF4 of all weight matrices; bitsandbytes 0.50's functions, packed by this "
            "program's worker",
            "medium",
            others="Transformers 5 with bitsandbytes alone leaves fused experts in 16 bits without a word "
            "(bitsandbytes#1849); Unsloth and Axolotl quantise them as here.",
            costs=_costs_of_unpacking(context),
        ),
        ADAPTED: Reason(
            values[ADAPTED],
            _why_frozen(context, sum(weight.adapter_parameters(context.config.lora.r) for weight in weights)),
            "PEFT 0.21, target_parameters; Axolotl's recipes: experts' adapters commented out",
            "low",
            others="LoRA Without Regret (Thinking Machines, 2025) adapts every expert, at a rank divided by the number "
            "of experts that a token passes, and holds it against full fine-tuning, not against attention alone; "
            "MoE-Sieve (arXiv:2603.24044) finds a few experts a layer enough.",
            costs=_costs_of_adapting(context),
        ),
    }


def _why_held(context: PricedContext, parameters: int) -> str:
    if context.config.quantization.bits != 4:
        bits = 32 if context.config.training.precision == "fp32" else 16
        return f"Without effect under {context.config.quantization.bits or bits} bits: experts are packed in 4 only."
    return (
        f"{count(parameters)} of {count(context.model.total_parameters)} parameters are experts: in 4 bits they take "
        f"{gib(parameters * 0.516)}, in 16 {gib(parameters * 2)}. The router stays in its precision."
    )


def _costs_of_unpacking(context: PricedContext) -> str:
    if not packs_experts(context.config):
        return "none"
    plain = context.compared({HELD: False})
    if plain is None:
        return ""
    less = plain.peak.process_bytes - context.estimate.peak.process_bytes
    time = by_how_much(slower(plain, context.estimate))
    return f"In 16 bits they would take {gib(max(0, less))} more" + (f"; 4 bits are {time}." if time else ".")


def _why_frozen(context: PricedContext, parameters: int) -> str:
    """Return why experts get no adapter, with its parameters at this rank and who takes such an adapter."""
    return (
        f"Adapters on the experts are {count(parameters)} parameters at r {context.config.lora.r}, each expert with "
        "its own; no source here says that they pay for their memory, so none is put there. Where they are "
        "(true), the adapter is saved as PEFT's target_parameters, which PEFT loads over the 16-bit model; vLLM may "
        "drop it without a word (vllm#41384) and llama.cpp's converter knows no such tensors: serve it merged."
    )


def _costs_of_adapting(context: PricedContext) -> str:
    if context.config.method == "full":
        return "none"
    frozen, adapted = context.compared({ADAPTED: False}), context.compared({ADAPTED: True})
    if frozen is None or adapted is None:
        return ""
    return f"Adapted, they would take {gib(max(0, adapted.peak.process_bytes - frozen.peak.process_bytes))} more."


RULES = (Rule("experts", (HELD, ADAPTED), experts, explain_experts),)
