"""Method: precision of the frozen base, and weights that are trained."""

from __future__ import annotations

from typing import Any

from recommender.estimate.types import Estimate
from recommender.machine.facts import Device
from recommender.model.experts import fused_weights
from recommender.model.quantised import UNPACKED, UNPACKED_A_SECOND, WRITTEN
from recommender.rules.base import (
    COMFORT,
    Context,
    PricedContext,
    Reasons,
    Rule,
    Values,
    by_how_much,
    priced_line,
    slower,
)
from recommender.rules.reason import Evidence, Reason
from recommender.units import duration, gib, percent

PUBLISHED_COST = (
    "Published cost of NF4 in time: +39 % (Llama 2 7B, A10G), +51 % (A100, Raschka's timings), up to twice (13B, "
    "A100); none with fused kernels."
)


def method(context: Context) -> Values:
    """16-bit LoRA where it fits comfortably, else QLoRA; the bits follow."""
    value = str(context.searched.get("method", "qlora"))
    return {
        "method": value,
        "quantization.bits": context.searched.get("quantization.bits", 4 if value == "qlora" else None),
        "quantization.quant_type": "nf4",
        "quantization.double_quant": True,
    }


def explain_method(context: PricedContext, values: Values) -> Reasons:
    """Return the reasons for the method and its bits, from the prices of 16-bit LoRA and of the base in fewer bits."""
    bits = values["quantization.bits"]
    unused = "" if bits == 4 else f" Without effect in {bits or _plain(context)} bits."
    return {
        "method": Reason(
            values["method"],
            _why(context, values["method"]),
            "Dettmers et al. 2023 (QLoRA); this project's estimate of memory and time",
            "high",
            others="LLaMA-Factory's walk-through and most guides take 4 bits on any consumer card. The digest of "
            "Raschka says 33 % less memory and 39 % more time; his timings, 6 686 s and 10 060 s, make it half as much "
            "again.",
            costs=_costs(context),
        ),
        "quantization.bits": Reason(
            bits,
            f"{_plain(context)}-bit weights: nothing is quantised." if bits is None else _why_bits(context),
            "Dettmers et al. 2023 (QLoRA), table 3: NF4 reaches 16-bit LoRA's scores",
            "high",
            evidence=_widths(context),
            others="8 bits (Dettmers et al. 2022, LLM.int8()) round less and take about twice the memory of 4; scores "
            "after training were no better in the QLoRA paper. The best-quality goal takes them where 16 do not fit.",
            costs=_costs(context),
        ),
        "quantization.quant_type": Reason(
            values["quantization.quant_type"],
            f"NF4's levels are quantiles of a normal distribution, which trained weights follow.{unused}",
            "Dettmers et al. 2023 (QLoRA), section 3 and table 2: NF4 above FP4",
            "high",
            costs="none",
        ),
        "quantization.double_quant": Reason(
            values["quantization.double_quant"],
            "The block scales are quantised too: 0.37 bit a parameter less, "
            f"{gib(context.model.linear_parameters * 0.373 / 8)} here, at no loss that was measured.{unused}",
            "Dettmers et al. 2023 (QLoRA), section 3",
            "high",
            costs="none",
        ),
    }


def _plain(context: PricedContext) -> int:
    """Bits of a weight that is not quantised."""
    return 32 if context.config.training.precision == "fp32" else 16


def _as(context: PricedContext, bits: int | None) -> Estimate:
    return context.priced(_held(bits))


def _held(bits: int | None) -> dict[str, Any]:
    return {"method": "qlora" if bits else "lora", "quantization.bits": bits}


def _widths(context: PricedContext) -> tuple[Evidence, ...]:
    """Memory and step time with the base in 16, 8 and 4 bits, everything else as it is."""
    if context.config.method == "full" or context.model.held_packed:
        return ()
    held = ((bits, context.compared(_held(bits))) for bits in (None, 8, 4))
    return tuple(priced_line(f"{bits or _plain(context)} bits", price) for bits, price in held if price)


def _least_of_16_bits(context: PricedContext, value: str) -> Estimate:
    """Return the estimate of 16-bit LoRA as planned; else its least at this length: single rows, checkpointing."""
    if value == "lora" and context.config.method == "lora":
        return context.estimate
    rows = context.config.training.effective_batch_size
    return context.priced(
        {
            "method": "lora",
            "quantization.bits": None,
            "training.gradient_checkpointing": True,
            "training.per_device_train_batch_size": 1,
            "training.gradient_accumulation_steps": rows,
        }
    )


def whose_memory(device: Device) -> str:
    """Return a note on the memory of a MIG slice or a unified device; empty for a card's own."""
    if device.mig:
        return (
            f" {device.name} is a slice of a GPU (MIG): its memory is its own, and what runs on the other slices takes "
            "nothing of it."
        )
    if device.kind == "cuda" and device.unified_memory:
        return f" {device.name}'s memory is the host's: what other programs take of it while training is missing here."
    return ""


def _why(context: PricedContext, value: str) -> str:
    if value == "full":
        return f"Full fine-tuning trains every weight, as was asked.{whose_memory(context.device)}"
    if context.model.quantization == "bnb-4bit":
        return "The model's weights are stored in 4 bits already; they are used as they are."
    return _compared(context, value) + whose_memory(context.device) + _unpacking(context)


def _unpacking(context: PricedContext) -> str:
    """Return a sentence on weights that are published in a packed form: what unpacking takes of disk, RAM and time."""
    model, form = context.model, context.model.quantization
    if form is None or form not in UNPACKED:
        return ""
    on_disk = f" ({gib(model.weights_bytes)} on disk)" if model.weights_bytes else ""
    bits = context.config.quantization.bits
    then = f" and the linear layers are rounded to {bits} bits" if bits else ""
    time = ""
    if context.device.kind == "cpu":
        time = f" On a CPU of two cores that takes about {duration(model.total_parameters / UNPACKED_A_SECOND[form])}."
    return (
        f" The model is published in {WRITTEN[form]}{on_disk}: while it is loaded each tensor is unpacked to "
        f"{_plain(context)} bits{then}, one at a time, so the host needs {gib(context.estimate.host_bytes)} of RAM and "
        f"no second copy on disk; what was rounded when it was published stays so.{time}"
    )


def _compared(context: PricedContext, value: str) -> str:
    """Return sentences comparing the need of 16-bit LoRA with the free memory, with the conclusion."""
    lora, free = _least_of_16_bits(context, value), context.estimate.free_bytes
    model, what = context.model, "The frozen base"
    if model.num_experts and not _reaches_experts(context):
        share = percent(model.linear_parameters / model.total_parameters)
        what = f"What bitsandbytes reaches, the linear layers outside of the experts ({share} of the weights),"
    held = f"{what} is held in {context.config.quantization.bits or 4} bits"
    bare = "" if value == "lora" and context.config.method == "lora" else ", one row at a time with checkpointing,"
    share = f"{percent(lora.peak.most_bytes / free)} of " if free > 0 else "with "
    need = f"{_plain(context)}-bit LoRA{bare} needs up to {gib(lora.peak.most_bytes)}, {share}{gib(free)} free"
    if context.device.kind == "cpu":
        if value == "lora":
            return f"{need}: it fits, and quantised products have no fast kernels on a CPU."
        return f"{need}. {held} instead."
    if value == "lora" and lora.peak.most_bytes <= COMFORT * free:
        time = slower(lora, _as(context, 4))
        costs = "would only cost time" if time is None or time >= 0.005 else "is not needed"
        return f"{need}: within the {percent(COMFORT)} that leave room, so quantising {costs}."
    if value == "lora":
        return f"{need}: more than the {percent(COMFORT)} that leave room, but it fits.{_no_better(context)}"
    if lora.fits != "yes":
        return f"{need}: it does not fit. {held}, the adapter is trained in 16 or 32."
    if context.goal == "fastest":
        return f"{held}: with the room that this leaves, the plan is the fastest that fits; {need}."
    if lora.peak.most_bytes <= COMFORT * free:
        return f"{held} to save memory for the goal {context.goal}; {need}."
    return f"{need}: beyond the {percent(COMFORT)} that leave room. {held}: {_against(context, lora)}."


def _reaches_experts(context: PricedContext) -> bool:
    """Whether the experts of a mixture would be in 4 bits with the rest."""
    settings = context.config.quantization
    return bool(fused_weights(context.model)) and settings.bits != 8 and settings.experts == "auto"


def _against(context: PricedContext, lora: Estimate) -> str:
    """Return a phrase comparing the plan over a rounded base with the least of 16-bit LoRA."""
    ours = context.estimate if context.config.quantization.bits else _as(context, 4)
    share, time = ours.peak.most_bytes / max(1, ours.free_bytes), by_how_much(slower(lora, ours))
    room = "" if share <= COMFORT else "; no plan leaves room here" if context.config.quantization.bits else ""
    return f"so it needs up to {gib(ours.peak.most_bytes)}, {percent(share)}{f', and is {time}' if time else ''}{room}"


def _no_better(context: PricedContext) -> str:
    """Return the need of 4 bits beside 16-bit LoRA, where 16 bits were taken although they leave no room."""
    if context.goal in ("best-quality", "fastest") or "method" in context.fixed:
        return ""
    rounded = _as(context, 4)
    time = by_how_much(slower(context.estimate, rounded))
    return f" 4 bits would need up to {gib(rounded.peak.most_bytes)}" + (f" and be {time}." if time else ".")


def _why_bits(context: PricedContext) -> str:
    model, bits = context.model, context.config.quantization.bits or 4
    least = "The most that fit here: " if bits == 8 and context.goal == "best-quality" else ""
    return (
        f"{least}{bits} bits a weight in the linear layers, {gib(model.linear_parameters * bits / 8)} instead of "
        f"{gib(model.linear_parameters * _plain(context) / 8)}; embedding, head and norms stay as they are"
        f"{_experts(context)}."
    )


def _experts(context: PricedContext) -> str:
    if not context.model.num_experts:
        return ""
    if _reaches_experts(context):
        return ", and so do the routers; the fused experts are in 4 bits too"
    held = gib(context.model.other_parameters * _plain(context) / 8)
    return f", and so do the fused experts, {held}"


def _costs(context: PricedContext) -> str:
    """Return the trade of less memory against more time in this machine's own figures."""
    if context.config.method == "full" or context.model.held_packed:
        return ""
    lora, qlora = _as(context, None), _as(context, 4)
    saved = 1 - qlora.peak.process_bytes / max(1, lora.peak.process_bytes)
    time = by_how_much(slower(lora, qlora))
    ours = f"4 bits against {_plain(context)} here: {saved:.0%} less memory".replace("%", " %") + (
        f", {time}." if time else "."
    )
    return f"{ours} {PUBLISHED_COST}"


RULES = (
    Rule(
        "method",
        ("method", "quantization.bits", "quantization.quant_type", "quantization.double_quant"),
        method,
        explain_method,
    ),
)
