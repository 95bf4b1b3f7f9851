"""PEFT's configuration from ours: for the worker and for the trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file

from presets.errors import InputError
from recommender.config.schema import Lora
from recommender.plan.starting_adapter import WEIGHTS
from trainer.classes.build import text_prefix
from trainer.classes.linears import linears_of
from trainer.classes.targets import targets_of
from trainer.worker.setup.experts.adapter import adapt_experts

ALL_LINEAR = "all-linear"
LOFTQ = "loftq"


def adapter_config(lora: Lora, model: Any) -> LoraConfig:
    """PEFT's configuration: every key of ours that is PEFT's, under its own name.

    all-linear means every linear layer of the text part but the head and what `linears_of` leaves out. Of Mixtral and
    its like PEFT 0.21 would adapt the fused experts too, with the rank times the experts and a whole adapted copy of a
    layer's experts at every pass (`_convert_peft_config_moe`); naming the layers keeps it from that.

    Args:
        lora: Ours.
        model: What is adapted, a Transformers model.

    Raises:
        InputError: A named layer can have no adapter, with the reason; or none is named.
    """
    targets = targets_of(model, chosen_modules(lora, model), text_prefix(model))
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=int(lora.lora_alpha) if lora.lora_alpha == int(lora.lora_alpha) else lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=targets,
        bias=lora.bias,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        # PEFT's own 'loftq' quantises by itself, without bitsandbytes: ours is made afterwards, by `setup.loftq`.
        init_lora_weights=True if lora.init_lora_weights == LOFTQ else lora.init_lora_weights,
        modules_to_save=lora.modules_to_save or None,
        rank_pattern=dict(lora.rank_pattern),
        alpha_pattern=dict(lora.alpha_pattern),
    )
    if lora.experts is True:
        adapt_experts(settings, model)
    return settings


def config_of(adapter: Path, lora: Lora, model: Any) -> LoraConfig:
    """PEFT's configuration of a saved adapter, to be trained on with the dropout of ours.

    Args:
        adapter: Its folder.
        lora: Ours, with what the adapter settles.
        model: What is adapted.
    """
    found = LoraConfig.from_pretrained(str(adapter))
    found.inference_mode = False
    found.task_type = "CAUSAL_LM"
    found.lora_dropout = lora.lora_dropout
    # Loaded afterwards: how its factors began matters only where that changed the base.
    found.init_lora_weights = True if lora.init_lora_weights == LOFTQ else lora.init_lora_weights
    if found.target_parameters:
        adapt_experts(found, model)
    return found


def load_adapter(model: Any, adapter: Path) -> None:
    """Put a saved adapter's weights in the place of a new one's, each in the dtype that the new one has.

    Raises:
        InputError: Some find no place, or some of the adapter is not among them.
    """
    result = set_peft_model_state_dict(model, load_file(str(adapter / WEIGHTS)))
    missing = [name for name in result.missing_keys if ".lora_" in name]
    if wrong := [*result.unexpected_keys, *missing]:
        raise InputError(
            f"The adapter in {adapter} does not fit {model.get_base_model().__class__.__name__}: {wrong[0]} "
            f"({len(wrong)} weights in all) is not in both.",
            remedy="Start from an adapter of this model, or merge that one and train a new one on the merged model.",
        )


def chosen_modules(lora: Lora, model: Any) -> list[str]:
    """Return the names of the modules that get an adapter.

    Raises:
        InputError: See `adapter_config`.
    """
    linears = linears_of(model)
    if lora.target_modules == ALL_LINEAR:
        chosen = list(linears.adapted)
        if not chosen:
            raise InputError(
                f"{type(model).__name__} has no linear layer that an adapter could stand on.",
                remedy="Name embeddings under lora.modules_to_save, or train another model.",
            )
        return chosen
    inside = [name for name, _ in model.named_modules() if name not in linears.left_out]
    found = {target: [name for name in inside if f".{name}".endswith(f".{target}")] for target in lora.target_modules}
    for target, names in found.items():
        if not names:
            reasons = {why for name, why in linears.left_out.items() if f".{name}".endswith(f".{target}")}
            raise InputError(
                f"lora.target_modules: '{target}' of {type(model).__name__} can have no adapter: "
                f"{next(iter(sorted(reasons)), 'it has no module of that name')}.",
                remedy="Leave it out of lora.target_modules, or set that to all-linear.",
            )
    return sorted({name for names in found.values() for name in names})
