"""Precision and kernels: formats that the device multiplies, and the attention that runs on it."""

from __future__ import annotations

from recommender.machine.capability import FLASH_FROM, has_tf32, known, version
from recommender.machine.facts import Device
from recommender.model.facts import FLASH_WIDTH, facts
from recommender.model.family_table import family_of
from recommender.model.spec import ModelSpec
from recommender.rules.base import Context, PricedContext, Reasons, Rule, Values
from recommender.rules.reason import Reason

PRECISION, TF32, ATTENTION = "training.precision", "training.tf32", "training.attn_implementation"


def precision(context: Context) -> Values:
    """Bf16 where the device multiplies it; else fp16 on a GPU, if the model stays in its range, and fp32 on a CPU."""
    device = context.device
    if device.bf16:
        return {PRECISION: "bf16"}
    half = device.kind == "cuda" and facts(context.model).fp16 != "overflows"
    return {PRECISION: "fp16" if half else "fp32"}


def explain_precision(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for the precision, from the formats that the device multiplies itself."""
    value, model = values[PRECISION], context.model
    others = "The LLaMA-Factory walk-through says the same: bf16 from Ampere on, else fp16."
    disputed = value == "fp16" and facts(model).fp16 == "disputed"
    if disputed:
        others = (
            f"vLLM refuses {model.model_type} in fp16 as numerically unstable; Unsloth trains it so on a T4. If the "
            "loss becomes NaN, set training.precision to fp32."
        )
    return {
        PRECISION: Reason(
            value,
            _why_precision(context.device, model, value),
            "NVIDIA, CUDA programming guide, arithmetic by compute capability; PyTorch, torch.amp",
            "medium" if disputed else "high",
            others=others,
            costs="Twice the memory of 16 bits." if value == "fp32" else "Half the memory of fp32.",
        )
    }


def _why_precision(device: Device, model: ModelSpec, value: str) -> str:
    capability = f"ompute capability {version(device.compute_capability)}"
    if value == "bf16":
        why = f"{device.name} multiplies bfloat16 itself, which has fp32's range: no loss scaling is needed."
        return f"C{capability} is at least 8.0. {why}" if device.kind == "cuda" else why
    if device.kind == "cpu":
        return (
            f"{device.name} has no bf16 instructions (avx512_bf16 or amx_bf16), so 16-bit arithmetic would be "
            "emulated: fp32 is faster."
        )
    without = f"{device.name} has c{capability}; bfloat16 begins at 8.0."
    if value == "fp16":
        return f"{without} fp16 is its half precision, with loss scaling and the adapter held in fp32."
    return (
        f"{without} The activations of {model.architecture} leave fp16's range and would become NaN: fp32 is left, "
        "slow and of twice the memory."
    )


def tf32(context: Context) -> Values:
    """TF32 from compute capability 8.0 on, for operations left in fp32."""
    return {TF32: context.device.kind == "cuda" and has_tf32(context.device.compute_capability)}


def explain_tf32(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for TF32: the device's way of multiplying fp32, and the run's part in fp32."""
    device, used = context.device, context.config.training.precision
    if values[TF32] and used == "fp32":
        why = f"{device.name} multiplies fp32 as TF32 on its tensor cores, with ten bits after the point instead of 23."
    elif values[TF32]:
        why = f"What is left in fp32 runs as TF32 on {device.name}; layers multiply in {used}, so it changes little."
    elif device.kind == "cpu":
        why = f"TF32 is a mode of NVIDIA's tensor cores; {device.name} has none."
    else:
        why = f"{device.name} has none: it begins at compute capability 8.0."
    return {
        TF32: Reason(
            values[TF32],
            why,
            "NVIDIA, Ampere architecture whitepaper; PyTorch, numerical accuracy notes",
            "high",
            others="PyTorch leaves it off for matrix products by default.",
            costs="none",
        )
    }


def attention(context: Context) -> Values:
    """Flash attention where it is installed and the card has it, eager where the model demands it, else SDPA."""
    model = context.model
    if context.device.flash_attention and facts(model).flash:
        return {ATTENTION: "flash_attention_2"}
    return {ATTENTION: "eager" if needs_eager(model) else "sdpa"}


def explain_attention(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for the attention, from the installed kernels and the model's needs."""
    model, device, value, others = context.model, context.device, values[ATTENTION], ""
    if value == "flash_attention_2":
        why = f"flash-attn is installed and {device.name} supports it: memory linear in length, and rows can be packed."
    elif value == "eager":
        why = f"{model.architecture} {_why_eager(model)}"
    else:
        why = "PyTorch's own fused attention: memory linear in length, and nothing to build."
        if device.kind == "cuda":
            why += f" {_why_no_flash(device, model)}"
            others = "Guides that name flash-attention assume that it is installed, and a card from Ampere on."
    return {
        ATTENTION: Reason(
            value,
            why,
            "Transformers 5, attention interface",
            "high",
            others=others,
            costs="Eager keeps a length × length table a head."
            if value == "eager" and model.attention_layers
            else "none",
        )
    }


def _why_eager(model: ModelSpec) -> str:
    """The rest of a sentence on why SDPA does not run this model."""
    if family_of(model.model_type).attention_sinks:
        return "adds a learnt sink to its attention scores, which SDPA cannot do: it runs in plain steps."
    if model.attn_logit_softcapping is not None or model.anatomy is None:
        return "caps its attention scores, which SDPA cannot do: it runs in plain steps."
    if not model.attention_layers:
        return "has no attention scores: nothing is to be chosen."
    return "says itself that SDPA does not run it in this Transformers: it runs in plain steps."


def _why_no_flash(device: Device, model: ModelSpec) -> str:
    if model.head_dim > FLASH_WIDTH:
        return f"flash-attn stops at heads of {FLASH_WIDTH}, and {model.architecture} has some of {model.head_dim}."
    if known(device.compute_capability) < FLASH_FROM["flash_attention_2"]:
        return (
            f"flash-attn begins at compute capability 8.0, and {device.name} has {version(device.compute_capability)}."
        )
    if device.flash_attention:
        return "flash-attn is installed, and cannot run this model."
    return "The flash-attn package is not installed here; it is never built from source."


def needs_eager(model: ModelSpec) -> bool:
    """Whether SDPA cannot run this model's attention."""
    return not facts(model).sdpa or model.attn_logit_softcapping is not None


RULES = (
    Rule("precision", (PRECISION,), precision, explain_precision),
    Rule("tf32", (TF32,), tf32, explain_tf32),
    Rule("attention", (ATTENTION,), attention, explain_attention),
)
