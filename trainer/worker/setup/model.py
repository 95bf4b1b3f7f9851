"""Loads the base model, quantised and with its context extended as configured; no dtype is left to a default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig, RopeScaling
from recommender.model.experts import packs_experts
from recommender.model.own_code import agreed
from recommender.model.sources.missing_files import no_weights
from recommender.model.spec import ModelSpec
from trainer.classes.build import load_trained, require_decoder, skeleton
from trainer.classes.choose import Classes, classes_of
from trainer.classes.linears import linears_of, skipped_by_bitsandbytes
from trainer.classes.load import pretrained
from trainer.classes.packages import needed_packages, needs
from trainer.worker.setup.experts.loading import experts_packed

DTYPES: Mapping[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def load_model(config: FinetuneConfig, spec: ModelSpec, *, cuda: bool) -> Any:
    """Load the base in the compute dtype, quantised when the method says so.

    Args:
        config: The run.
        spec: Where its weights are.
        cuda: Onto the current GPU, else onto the CPU.

    Raises:
        InputError: The weights are not here and cannot be had, or it needs code of its own that nobody agreed to.
    """
    trust = agreed(config, spec)
    dtype = DTYPES[config.training.precision]
    if not spec.path or not spec.has_weights:
        raise InputError(
            f"{spec.name} has no safetensors weights here.",
            remedy=spec.access or no_weights(spec.path),
        )
    options: dict[str, Any] = {
        "dtype": dtype,
        "attn_implementation": config.training.attn_implementation,
        # What is sharded goes to the card layer by layer: the whole need not fit on one.
        "device": torch.cuda.current_device() if cuda and config.launch.kind != "fsdp" else "cpu",
    }
    try:
        described = AutoConfig.from_pretrained(str(spec.path), trust_remote_code=trust)
        if config.rope_scaling:
            described = stretched(described, config.rope_scaling)
        if trust and spec.own_code:
            model = _by_its_own_code(config, spec, described, options)
        else:
            model = _by_class(config, spec.path, classes_of(described), options)
    except OSError as problem:
        raise InputError(f"The weights of {spec.name} cannot be loaded: {problem}") from problem
    except ImportError as problem:
        raise _package_missing(spec, config, problem) from problem
    model.config.use_cache = False
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # Else bitsandbytes 0.50 packs a weight anew at the first answer on a CPU with bf16 instructions, in a form
            # whose product passes no gradient on: training after a sample would teach the last layers alone.
            module.support_avx512bf16_for_cpu = False
            if spec.quantization == "bnb-4bit":
                # Quantised on disk, with the compute dtype of whoever did it: bf16 is emulated on a T4.
                module.compute_dtype = dtype
    return model


def _package_missing(spec: ModelSpec, config: FinetuneConfig, problem: ImportError) -> InputError:
    """What a package that is not here is wanted for: the attention, or a tower, which only a full fine-tune loads."""
    attention = config.training.attn_implementation
    why, remedy = needs(problem)
    if not needed_packages(problem):
        return InputError(
            f"{spec.name} cannot be loaded with attention {attention}: {why}.",
            remedy="Install the package it names into this environment, or set training.attn_implementation to sdpa.",
        )
    without = ", or set method to lora: it leaves out what text does not pass through" * (config.method == "full")
    return InputError(f"{spec.name} cannot be loaded: {why}.", remedy=f"{remedy}{without}.")


def load_text(folder: Path, *, trust: bool, config: Any = None, **options: Any) -> Any:
    """Load a folder as it is trained: the class that `classes_of` names, without its towers.

    Args:
        folder: The model's.
        trust: Whether its own code may run.
        config: Instead of the folder's config.json.
        options: As `trainer.classes.load.pretrained` takes them.
    """
    described = config or AutoConfig.from_pretrained(str(folder), trust_remote_code=trust)
    if trust and getattr(described, "auto_map", None):
        return pretrained(AutoModelForCausalLM, folder, trust=True, config=described, **options)
    return load_trained(classes_of(described), folder, **options)


def _by_class(config: FinetuneConfig, path: Path, classes: Classes, options: dict[str, Any]) -> Any:
    """Load the class that `classes_of` names, without the towers that text never passes through.

    The towers are there where every weight is trained: the whole model is saved again then.
    """
    require_decoder(classes)
    dtype = options["dtype"]
    if config.quantization.bits is not None:
        model = skeleton(classes, dtype=dtype, attention="eager")
        skipped = skipped_by_bitsandbytes(model, linears_of(model))
        options["quantization_config"] = quantization_config(config, dtype, skipped)
    with experts_packed(packs_experts(config)):
        return load_trained(classes, path, towers=config.method == "full", **options)


def _by_its_own_code(config: FinetuneConfig, spec: ModelSpec, described: Any, options: dict[str, Any]) -> Any:
    """Load a class that the repository brings, with the person's consent."""
    if quantization := quantization_config(config, options["dtype"]):
        options["quantization_config"] = quantization
    assert spec.path is not None
    return pretrained(AutoModelForCausalLM, spec.path, trust=True, config=described, **options)


def stretched(model_config: Any, rope: RopeScaling) -> Any:
    """Return a model's configuration with its context extended (Transformers 5, `modeling_rope_utils`).

    The base frequency stays; an extension that the model has already (llama3's, say) is replaced. YaRN needs the
    length that the model was trained for, and says its new one; linear and dynamic scaling are told by their factor.
    """
    text = model_config.get_text_config()
    asked: dict[str, Any] = {"rope_type": rope.rope_type, "factor": rope.factor}
    if rope.rope_type == "yarn":
        known = text.max_position_embeddings
        asked["original_max_position_embeddings"] = known
        text.max_position_embeddings = int(known * rope.factor)
    own = text.rope_parameters
    if "rope_theta" in own:
        text.rope_parameters = _base_of(own) | asked
    else:
        # One table a kind of layer: sliding windows need no longer context.
        full = "full_attention"
        text.rope_parameters = {**own, full: _base_of(own[full]) | asked}
    return model_config


def _base_of(rope_parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {key: rope_parameters[key] for key in ("rope_theta", "partial_rotary_factor") if key in rope_parameters}


def quantization_config(
    config: FinetuneConfig, dtype: torch.dtype, skipped: Sequence[str] | None = None
) -> BitsAndBytesConfig | None:
    """Return bitsandbytes' configuration; None for a base in 16 or 32 bits.

    Args:
        config: The run.
        dtype: Of the products.
        skipped: Names or patterns of layers that stay as they are; None for Transformers' own choice.
    """
    wanted = config.quantization
    if wanted.bits is None:
        return None
    modules = list(skipped) if skipped is not None else None
    if wanted.bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=modules)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        llm_int8_skip_modules=modules,
        bnb_4bit_quant_type=wanted.quant_type,
        bnb_4bit_use_double_quant=wanted.double_quant,
        bnb_4bit_compute_dtype=dtype,
        # Shards are of floating-point tensors: the bytes of two, four or eight codes are taken for one number.
        bnb_4bit_quant_storage=dtype if config.launch.kind == "fsdp" else torch.uint8,
    )


def settle_trainable_dtypes(model: Any, precision: str) -> None:
    """Give trained weights the dtype that the precision needs, after the trainer is built and before its optimizer.

    TRL 1.16 casts the adapters of a quantised model to bf16 whatever the precision. Under fp16 the gradient scaler
    refuses to unscale anything but fp32 (torch.amp.GradScaler), and under fp32 nothing should be less.
    """
    if precision == "bf16":
        return
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            parameter.data = parameter.data.to(torch.float32)
