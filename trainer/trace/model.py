"""The model as it is trained: Transformers' class with PEFT's layers in it, built on meta, then given fake tensors."""

from __future__ import annotations

from typing import Any

import torch
from peft import get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.pytorch_utils import Conv1D

from presets.errors import InputError
from trainer.classes.build import skeleton
from trainer.classes.choose import classes_of
from trainer.classes.linears import linears_of
from trainer.trace.experts import is_scale, pack_experts
from trainer.trace.kernels import flash_attention
from trainer.trace.order import Order
from trainer.trace.quantised import Linear4bit, Linear8bitLt
from trainer.trace.record import Recorder
from trainer.worker.setup.adapter import adapter_config

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def half(order: Order) -> torch.dtype:
    """Return the dtype of the configured precision."""
    return HALVES[order.finetune.training.precision]


def dtype_of(order: Order, size: int) -> torch.dtype:
    """The floating dtype of so many bytes under this precision."""
    return torch.float32 if size == 4 else half(order)


def build_model(order: Order) -> Any:
    """The model on meta, quantised and adapted as ordered.

    Raises:
        InputError: Transformers builds another model than the one that was priced, or cannot build it.
    """
    model = build_base(order)
    _check(model, order)
    return adapt(model, order)


def build_base(order: Order) -> Any:
    """The model on meta as Transformers builds it, with the attention that is ordered.

    Raises:
        InputError: Transformers cannot build it.
    """
    attention = order.finetune.training.attn_implementation
    try:
        config = _config(order)
        text = config.get_text_config(decoder=True)
        # A padding token beyond a small vocabulary would stop the embedding from being built.
        padding = getattr(text, "pad_token_id", None)
        if padding is not None and padding >= text.vocab_size:
            text.pad_token_id = None
        # Flash is put in its place below: building with it would ask for the flash-attn package.
        model = _built(order, config, "sdpa" if attention == "sdpa" else "eager")
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as problem:
        raise InputError(f"Transformers cannot build this model: {_first_sentence(problem)}") from problem
    if attention.startswith("flash"):
        ALL_ATTENTION_FUNCTIONS.register("flash_attention_2", flash_attention)
        for each in (model.config, model.config.get_text_config(decoder=True)):
            each._attn_implementation = "flash_attention_2"
    model.config.use_cache = False
    return model


def _built(order: Order, config: Any, attention: str) -> Any:
    """The model of the class that is trained for a configuration, without other towers, on meta."""
    if not order.own_code:
        return skeleton(classes_of(config), dtype=half(order), attention=attention)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(
            config, dtype=half(order), attn_implementation=attention, trust_remote_code=True
        )


def adapt(model: Any, order: Order) -> Any:
    """Quantise and adapt a model on meta as ordered."""
    if order.bits:
        _quantise(model, order)
        pack_experts(model, order, half(order))
    if order.finetune.method == "full":
        return model
    lora = order.finetune.lora
    settings = adapter_config(lora.model_copy(update={"init_lora_weights": True}), model)
    # The adapter on meta too: it is neither filled nor held.
    return get_peft_model(model, settings, low_cpu_mem_usage=True)


def _config(order: Order) -> Any:
    """Return Transformers' configuration, by the model's own code where the person agreed to it."""
    if order.own_code:
        return AutoConfig.from_pretrained(order.own_code, trust_remote_code=True)
    architecture = {k: v for k, v in order.architecture.items() if k not in {"quantization_config", "auto_map"}}
    return AutoConfig.for_model(architecture.pop("model_type"), **architecture)


def _first_sentence(problem: Exception) -> str:
    return str(problem).strip().split(". ")[0].rstrip(".") + "."


def _check(model: Any, order: Order) -> None:
    count = sum(parameter.numel() for parameter in model.parameters())
    if count != order.total_parameters:
        raise InputError(
            f"Transformers builds this model with {count:,} parameters, but {order.total_parameters:,} are expected: "
            "the trace would be of another model.",
            remedy="Use the formula's answer, or measure with `lora-wizard calibrate`.",
        )


def _quantise(model: Any, order: Order) -> None:
    """Quantise the layers that bitsandbytes replaces: linear ones but the head, and those that it is told to leave."""
    wanted = order.finetune.quantization
    head, kept = model.get_output_embeddings(), linears_of(model).kept
    with torch.device("meta"):
        for name, layer in list(model.named_modules()):
            if name in kept or layer is head or not (type(layer) is nn.Linear or isinstance(layer, Conv1D)):
                continue
            if isinstance(layer, Conv1D):
                layer = nn.Linear(layer.nx, layer.nf)
            if order.bits == 4:
                stand_in: nn.Module = Linear4bit(
                    layer, half(order), nested=wanted.double_quant, quant_type=wanted.quant_type
                )
            else:
                stand_in = Linear8bitLt(layer)
            model.set_submodule(name, stand_in)
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = order.bits == 4, order.bits == 8


def give_tensors(model: Any, order: Order, recorder: Recorder) -> list[nn.Parameter]:
    """Swap every parameter and buffer on meta for one of the fake device, in the dtype that it is trained in.

    The base comes first, then the adapter, as they are loaded. A parameter that two modules share stays shared.

    Returns:
        What is trained.
    """
    made: dict[int, nn.Parameter] = {}
    trains_all = order.finetune.method == "full"
    places = [(module, name, p) for module in model.modules() for name, p in module._parameters.items()]
    for trained in (False, True):
        for module, name, old in places:
            if old is None or (old.requires_grad and not trains_all) != trained:
                continue
            if id(old) not in made:
                size = order.adapter if old.requires_grad else order.norms if _is_norm(module) else order.plain
                dtype = dtype_of(order, size) if old.is_floating_point() and not _is_scale(name) else old.dtype
                with recorder.within("adapter" if trained else "weights"):
                    made[id(old)] = nn.Parameter(torch.empty(old.shape, dtype=dtype), requires_grad=old.requires_grad)
            new = made[id(old)]
            vars(new).update(vars(old))
            module._parameters[name] = new
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                with recorder.within("weights"):
                    module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
    return [p for p in made.values() if p.requires_grad]


def _is_norm(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__


def _is_scale(name: str) -> bool:
    return is_scale(name) or name in {"scales", "scale_scales", "nested_code", "offset", "code", "row_scales"}
