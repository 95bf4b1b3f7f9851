"""PEFT's configuration from ours: for the worker and for the trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn

from presets.errors import InputError
from recommender.config.schema import Lora
from recommender.model.family_table import family_of
from recommender.plan.starting_adapter import WEIGHTS

ALL_LINEAR = "all-linear"
LOFTQ = "loftq"


def adapter_config(lora: Lora, model: Any) -> LoraConfig:
    """PEFT's configuration: every key of ours that is PEFT's, under its own name.

    all-linear means every `nn.Linear` but the head. Of Mixtral and its like PEFT 0.21 would adapt the fused experts
    too, with the rank times the experts and a whole adapted copy of a layer's experts at every pass
    (`_convert_peft_config_moe`); naming the layers keeps it from that.

    Args:
        lora: Ours.
        model: What is adapted, a Transformers model.
    """
    targets = lora.target_modules
    if targets == ALL_LINEAR and has_experts(model):
        targets = sorted(linear_names(model))
    return LoraConfig(
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


def config_of(adapter: Path, lora: Lora) -> LoraConfig:
    """PEFT's configuration of a saved adapter, to be trained on with the dropout of ours.

    Args:
        adapter: Its folder.
        lora: Ours, with what the adapter settles.
    """
    found = LoraConfig.from_pretrained(str(adapter))
    found.inference_mode = False
    found.task_type = "CAUSAL_LM"
    found.lora_dropout = lora.lora_dropout
    # Loaded afterwards: how its factors began matters only where that changed the base.
    found.init_lora_weights = True if lora.init_lora_weights == LOFTQ else lora.init_lora_weights
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


def has_experts(model: Any) -> bool:
    """Return whether a Transformers model is a mixture of experts."""
    return family_of(model.config.get_text_config().model_type).experts is not None


def linear_names(model: Any) -> set[str]:
    """Names of the linear layers, without the head."""
    head = model.get_output_embeddings()
    return {name.rsplit(".", 1)[-1] for name, x in model.named_modules() if isinstance(x, nn.Linear) and x is not head}
