"""Refusal of values that contradict each other, the model or the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from presets.errors import InputError
from recommender.config.edit import flatten, value_of
from recommender.config.keys import fields
from recommender.config.schema import FinetuneConfig
from recommender.data.packing import packs
from recommender.machine.capability import FLASH_FROM, has_tf32, known, version
from recommender.machine.facts import Device
from recommender.memory.modules import refuse_idle_patterns, refuse_unknown_modules
from recommender.model.experts import fused_weights, packs_experts
from recommender.model.facts import FLASH_WIDTH
from recommender.model.spec import ModelSpec
from recommender.rules.stages import stage_rules
from recommender.stages import STAGES, Stage, keys_of_others, stage_of
from recommender.units import counted

FROM_PLAIN_WEIGHTS = ("pissa", "pissa_niter_16", "orthogonal")
"""Starts of the adapter that PEFT 0.21 refuses over quantised weights."""


def refuse_untrainable(config: FinetuneConfig, model: ModelSpec, device: Device) -> None:
    """Refuse a whole configuration, every value of which is taken as the person's, that cannot be trained.

    Args:
        config: As a file or a finished plan says it.
        model: What is tuned.
        device: Where.

    Raises:
        InputError: naming the key and what to set instead; or the model, where it cannot be trained at all.
    """
    model.require_supported()
    refuse_contradictions(config, flatten(config), model, device)


def refuse_contradictions(
    config: FinetuneConfig, user_set: Mapping[str, Any], model: ModelSpec, device: Device
) -> None:
    """Refuse values that this device or model cannot have.

    Args:
        config: The person's values over defaults.
        user_set: Dotted keys that the person set.
        model: What is tuned.
        device: Where.

    Raises:
        InputError: naming the key and what to set instead.
    """
    _refuse_of_device(user_set, device)
    _refuse_flash(user_set, model)
    refuse_launch(config, model, device)
    refuse_of_other_stages(config, user_set)
    for refuse in stage_rules(config).conflicts:
        refuse(config, user_set, model, device)
    if config.training.loraplus_lr_ratio is not None and config.method == "full" and "method" in user_set:
        raise InputError(
            "training.loraplus_lr_ratio is about an adapter's two matrices, and method full trains none.",
            remedy="Set it to null, or choose method lora or qlora.",
        )
    if config.run.early_stopping is not None and config.data.eval is None and config.data.eval_fraction <= 0:
        raise InputError(
            "run.early_stopping looks at held-out loss, and nothing is held out.",
            remedy="Set data.eval_fraction, or data.eval, or leave run.early_stopping null.",
        )
    if model.quantization == "bnb-4bit" and config.quantization.bits != 4:
        raise InputError(
            f"{model.name} is stored in 4 bits: it can only be trained with method qlora and quantization.bits 4.",
            remedy="Leave method to the plan, or choose the model's 16-bit version.",
        )
    if "data.packing" in user_set and model.carries_state and packs(config):
        raise InputError(
            f"{model.name} carries a state from token to token in some of its layers: packed rows would run into one "
            "another.",
            remedy="Set data.packing to false.",
        )
    if "method" in user_set:
        refuse_start(config, model, device)
    refuse_experts(config, model)
    refuse_unknown_modules(config, model)
    refuse_idle_patterns(config, model)


def refuse_of_other_stages(
    config: FinetuneConfig, user_set: Mapping[str, Any], stages: Iterable[Stage] = STAGES.values()
) -> None:
    """Refuse a value of a key that only other stages have; their defaults stand in every whole configuration."""
    stage = stage_of(config)
    for key in sorted(keys_of_others(stage, stages) & user_set.keys()):
        if value_of(config, key) != fields()[key].default:
            raise InputError(f"{key} means nothing in stage {stage.name}.", remedy="Leave it out.")


def _refuse_of_device(user_set: Mapping[str, Any], device: Device) -> None:
    """Refuse values set by the person that the device does not support."""
    cuda, reached = device.kind == "cuda", known(device.compute_capability)
    if user_set.get("training.precision") == "bf16" and cuda and not device.bf16:
        raise InputError(
            f"{device.name} has no bf16 (compute capability {version(device.compute_capability)}; it begins at 8.0).",
            remedy="Leave training.precision to the plan, or set it to fp16.",
        )
    if user_set.get("training.tf32") and not (cuda and has_tf32(reached)):
        raise InputError(
            f"{device.name} has no TF32; it begins at compute capability 8.0.",
            remedy="Leave training.tf32 to the plan, or set it to false.",
        )
    flash = user_set.get("training.attn_implementation", "")
    needed = FLASH_FROM.get(flash, (0, 0))
    if flash in FLASH_FROM and (not cuda or reached < needed):
        raise InputError(
            f"{device.name} cannot run {flash}; it begins at compute capability {version(needed)}.",
            remedy="Leave training.attn_implementation to the plan, or set it to sdpa.",
        )
    if flash in FLASH_FROM and user_set.get("training.precision") == "fp32":
        raise InputError(
            f"{flash} multiplies in 16 bits only, and training.precision is fp32.",
            remedy="Set training.attn_implementation to sdpa, or leave training.precision to the plan.",
        )


def _refuse_flash(user_set: Mapping[str, Any], model: ModelSpec) -> None:
    """Refuse a flash attention, set by the person, whose kernels have no heads as wide as the model's."""
    flash = user_set.get("training.attn_implementation", "")
    if flash in FLASH_FROM and model.head_dim > FLASH_WIDTH:
        raise InputError(
            f"{flash} stops at heads of {FLASH_WIDTH}, and {model.name} has some of {model.head_dim}.",
            remedy="Leave training.attn_implementation to the plan, or set it to sdpa.",
        )


def refuse_launch(config: FinetuneConfig, model: ModelSpec, device: Device) -> None:
    """Refuse a launch that this device or this model cannot have.

    Raises:
        InputError: with what to set instead.
    """
    launch = config.launch
    if device.kind == "cpu" and isinstance(launch.gpus, list):
        raise InputError(
            f"launch.gpus names {counted(len(launch.gpus), 'GPU')}, and this run is on the CPU.",
            remedy="Set launch.gpus to auto, or run on a machine with these GPUs.",
        )
    if device.kind == "cpu" and launch.strategy in {"zero2", "zero3", "split"}:
        raise InputError(
            f"launch.strategy {launch.strategy} needs GPUs, and this run is on the CPU.",
            remedy="Set launch.strategy to ddp or fsdp with launch.processes 2 or more, or to auto.",
        )
    if launch.kind == "fsdp" and config.quantization.bits == 8:
        raise InputError(
            "launch.strategy fsdp cannot shard 8-bit weights: bitsandbytes keeps their scales outside the parameter.",
            remedy="Set quantization.bits to 4, or method to lora, or launch.strategy to ddp.",
        )
    if launch.kind == "fsdp" and model.num_experts and packs_experts(config):
        raise InputError(
            f"launch.strategy fsdp does not shard the experts of {model.name} in 4 bits.",
            remedy="Set quantization.experts to false, which holds them in 16 bits, or launch.strategy to ddp.",
        )
    if launch.kind == "fsdp" and config.training.precision == "fp16":
        raise InputError(
            "launch.strategy fsdp does not train in fp16: ranks would scale their gradients apart.",
            remedy="Set training.precision to bf16 or fp32, or launch.strategy to ddp.",
        )
    if launch.offload == "params" and config.method == "full":
        raise InputError(
            "launch.offload params holds frozen weights in host memory, and method full freezes none.",
            remedy="Set launch.offload to all or none, or method to lora.",
        )
    if launch.kind == "fsdp" and model.quantization is not None and config.quantization.bits is not None:
        raise InputError(
            f"launch.strategy fsdp cannot shard {model.name}, which is stored quantised: its weights are in integers.",
            remedy="Choose the model's 16-bit version, which is quantised when it is loaded, or launch.strategy ddp.",
        )


def refuse_experts(config: FinetuneConfig, model: ModelSpec) -> None:
    """Refuse adapters on experts that the model cannot have, or that PEFT cannot make as configured.

    PEFT 0.21 adapts a parameter by its factors alone (`lora.ParamWrapper`): what needs the layer's input between them,
    a norm of the weight or its values has no place there.

    Raises:
        InputError: The key, and what to set instead.
    """
    if config.lora.experts is not True or config.method == "full":
        return
    if not fused_weights(model):
        what = "multiplies its experts by itself" if model.num_experts else "has no experts"
        raise InputError(f"lora.experts is true, and {model.name} {what}.", remedy="Set lora.experts to auto or false.")
    lora, start = config.lora, config.lora.init_lora_weights
    against = (
        ("lora.lora_dropout", lora.lora_dropout != 0, "0"),
        ("lora.use_dora", lora.use_dora, "false"),
        ("lora.bias", lora.bias != "none", "none"),
        (f"lora.init_lora_weights {start}", not (isinstance(start, bool) or start == "gaussian"), "true"),
    )
    for key, wrong, instead in against:
        if wrong:
            raise InputError(
                f"Adapters on experts (lora.experts) do not go with {key}: PEFT adapts a fused weight by two factors "
                "and nothing beside them.",
                remedy=f"Set {key.partition(' ')[0]} to {instead}, or lora.experts to false.",
            )


def refuse_start(config: FinetuneConfig, model: ModelSpec, device: Device) -> None:
    """Refuse an adapter, or a start of it, that the base cannot give.

    Raises:
        InputError: with what to set instead.
    """
    start, bits = config.lora.init_lora_weights, config.quantization.bits
    if config.method == "full":
        return
    if config.lora.use_dora and bits == 8 and device.kind == "cpu":
        # bitsandbytes' product on a CPU (`MatMul8bitFp`) finds no scales once PEFT 0.21 took the norms of the weights.
        raise InputError(
            "lora.use_dora does not work over 8 bits on a CPU.",
            remedy="Set quantization.bits to 4, method to lora, or lora.use_dora to false.",
        )
    ranks = (config.lora.r, *config.lora.rank_pattern.values())
    if start == "orthogonal" and (odd := next((r for r in ranks if r % 2), None)):
        raise InputError(
            f"lora.init_lora_weights orthogonal needs even ranks, and one is {odd}.",
            remedy=f"Set it to {odd + 1}, or lora.init_lora_weights to true.",
        )
    if start in FROM_PLAIN_WEIGHTS and bits is not None:
        raise InputError(
            f"lora.init_lora_weights {start} reads the weights as they are, and {bits} bits round them.",
            remedy="Set method to lora, or lora.init_lora_weights to olora, loftq or true.",
        )
    if start == "loftq" and (bits != 4 or model.held_packed):
        raise InputError(
            "lora.init_lora_weights loftq makes up for what rounding to 4 bits loses: it needs both weights.",
            remedy="Set method to qlora with 4 bits and a model in 16 bits, or lora.init_lora_weights to true.",
        )
