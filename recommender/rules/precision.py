"""Precision and kernels: what the device can multiply, and which attention runs on it."""

from __future__ import annotations

from collections.abc import Mapping

from recommender.machine.capability import FLASH_FROM, has_tf32, known, version
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.rules.base import Context, Rule
from recommender.rules.reason import Reason

NO_SDPA = frozenset({"gemma2", "gpt_oss", "vaultgemma"})
"""Model types whose attention Transformers 5.23 cannot run by SDPA (`_supports_sdpa = False`): soft-capped scores or
attention sinks."""
NO_FLASH_2 = frozenset({"gpt_oss"})
"""Model types that flash-attn 2 cannot run: attention sinks."""
FP16_OVERFLOWS = frozenset({"gemma3", "gemma3_text", "gemma3n_text"})
"""Model types whose activations leave fp16's range (huggingface/transformers issue 36822: NaN on cards without bf16;
unslothai/unsloth pull 4014: they reach 800 000, fp16 ends at 65 504)."""

FP16_DISPUTED = frozenset({"gemma2"})
"""Model types that vLLM refuses in fp16 for numerical instability (`_FLOAT16_NOT_SUPPORTED_MODELS`, vllm/config), and
that Unsloth trains in it (its Gemma 2 notebooks run on a T4; its `FORCE_FLOAT32` names Gemma 3 and not this)."""


def precision(context: Context) -> Mapping[str, Reason]:
    """Bf16 where the device multiplies it; else fp16 on a GPU, if the model stays in its range, and fp32 on a CPU."""
    device, model = context.device, context.model
    if device.bf16:
        value = "bf16"
        why = f"{device.name} multiplies bfloat16 itself, which has fp32's range: no loss scaling is needed."
        if device.kind == "cuda":
            why = f"Compute capability {version(device.compute_capability)} is at least 8.0. {why}"
    elif device.kind == "cuda" and model.model_type in FP16_OVERFLOWS:
        value = "fp32"
        why = (
            f"{device.name} has compute capability {version(device.compute_capability)}; bfloat16 begins at 8.0. "
            f"The activations of {model.architecture} leave fp16's range and would become NaN: fp32 is left, slow and "
            "of twice the memory."
        )
    elif device.kind == "cuda":
        value = "fp16"
        why = (
            f"{device.name} has compute capability {version(device.compute_capability)}; bfloat16 begins at 8.0. "
            "fp16 is its half precision, with loss scaling and the adapter held in fp32."
        )
    else:
        value = "fp32"
        why = (
            f"{device.name} has no bf16 instructions (avx512_bf16 or amx_bf16), so 16-bit arithmetic would be "
            "emulated: fp32 is faster."
        )
    others = "The LLaMA-Factory walk-through says the same: bf16 from Ampere on, else fp16."
    disputed = value == "fp16" and model.model_type in FP16_DISPUTED
    if disputed:
        others = (
            f"vLLM refuses {model.model_type} in fp16 as numerically unstable; Unsloth trains it so on a T4. If the "
            "loss becomes NaN, set training.precision to fp32."
        )
    reason = Reason(
        value,
        why,
        "NVIDIA, CUDA programming guide, arithmetic by compute capability; PyTorch, torch.amp",
        "medium" if disputed else "high",
        others=others,
        costs="Twice the memory of 16 bits." if value == "fp32" else "Half the memory of fp32.",
    )
    return {"training.precision": reason}


def tf32(context: Context) -> Mapping[str, Reason]:
    """From compute capability 8.0 on, for what is left in fp32."""
    device = context.device
    value = device.kind == "cuda" and has_tf32(device.compute_capability)
    if value and context.config.training.precision == "fp32":
        why = f"{device.name} multiplies fp32 as TF32 on its tensor cores, with ten bits after the point instead of 23."
    elif value:
        why = (
            f"What is left in fp32 runs as TF32 on {device.name}; layers multiply in "
            f"{context.config.training.precision}, so it changes little."
        )
    elif device.kind == "cpu":
        why = f"TF32 is a mode of NVIDIA's tensor cores; {device.name} has none."
    else:
        why = f"{device.name} has none: it begins at compute capability 8.0."
    return {
        "training.tf32": Reason(
            value,
            why,
            "NVIDIA, Ampere architecture whitepaper; PyTorch, numerical accuracy notes",
            "high",
            others="PyTorch leaves it off for matrix products by default.",
            costs="none",
        )
    }


def attention(context: Context) -> Mapping[str, Reason]:
    """Flash attention where it is installed and the card has it, eager where the model demands it, else SDPA."""
    model, device = context.model, context.device
    others = ""
    if device.flash_attention and model.model_type not in NO_FLASH_2:
        value = "flash_attention_2"
        why = f"flash-attn is installed and {device.name} supports it: memory linear in length, and rows can be packed."
    elif needs_eager(model):
        value = "eager"
        does = (
            "caps its attention scores"
            if model.model_type != "gpt_oss"
            else "adds a learnt sink to its attention scores"
        )
        why = f"{model.architecture} {does}, which SDPA cannot do: it runs in plain steps."
    else:
        value = "sdpa"
        why = "PyTorch's own fused attention: memory linear in length, and nothing to build."
        if device.kind == "cuda":
            why += f" {_why_no_flash(device)}"
            others = "Guides that name flash-attention assume that it is installed, and a card from Ampere on."
    return {
        "training.attn_implementation": Reason(
            value,
            why,
            "Transformers 5, attention interface",
            "high",
            others=others,
            costs="Eager keeps a length × length table a head." if value == "eager" else "none",
        )
    }


def _why_no_flash(device: Device) -> str:
    if known(device.compute_capability) < FLASH_FROM["flash_attention_2"]:
        return (
            f"flash-attn begins at compute capability 8.0, and {device.name} has {version(device.compute_capability)}."
        )
    if device.flash_attention:
        return "flash-attn is installed, and cannot run this model."
    return "The flash-attn package is not installed here; it is never built from source."


def needs_eager(model: ModelSpec) -> bool:
    """Whether SDPA cannot run this model's attention."""
    return model.model_type in NO_SDPA or model.attn_logit_softcapping is not None


RULES = (
    Rule("precision", ("training.precision",), precision),
    Rule("tf32", ("training.tf32",), tf32),
    Rule("attention", ("training.attn_implementation",), attention),
)
