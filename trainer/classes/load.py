"""Loads a model's class from a folder, from any form in which its weights are published."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, GenerationConfig, PretrainedConfig

from trainer.classes.published import published_form, published_tensors


def pretrained(
    loader: Any,
    folder: Path,
    *,
    trust: bool = False,
    config: PretrainedConfig | None = None,
    device: str | int = "cpu",
    **options: Any,
) -> Any:
    """Build a model and load its weights, unpacked where they are published in a packed form.

    Args:
        loader: A class of Transformers, or an Auto class.
        folder: The model's.
        trust: Whether its own code may run.
        config: Instead of the folder's config.json.
        device: All of it goes there.
        options: For `from_pretrained`: dtype, quantization_config, attn_implementation …

    Returns:
        The model; its configuration names no published form any more, so that it is saved as what it is.

    Raises:
        OSError, ImportError: As `from_pretrained` does. InputError: The files are torn.
    """
    place = {"": device}
    if published_form(folder) is None:
        if config is not None:
            options["config"] = config
        return loader.from_pretrained(
            str(folder), use_safetensors=True, trust_remote_code=trust, device_map=place, **options
        )
    config = config or AutoConfig.from_pretrained(str(folder), trust_remote_code=trust)
    plain(config)
    dtype = options.get("dtype", torch.bfloat16)
    tensors = published_tensors(folder, dtype if isinstance(dtype, torch.dtype) else torch.bfloat16, device)
    kind = _class_of(loader, config)
    model = kind.from_pretrained(None, config=config, state_dict=tensors, device_map=place, **options)
    model.name_or_path = model.config.name_or_path = str(folder)
    with suppress(OSError):
        model.generation_config = GenerationConfig.from_pretrained(str(folder))
    return model


def plain(config: PretrainedConfig) -> PretrainedConfig:
    """Take the published form of its weights out of a configuration and its text part; returns the same object."""
    for part in (config, config.get_text_config()):
        if getattr(part, "quantization_config", None) is not None:
            del part.quantization_config
    return config


def _class_of(loader: Any, config: PretrainedConfig) -> Any:
    """The class that an Auto class builds for a configuration; any other class is itself."""
    mapping = getattr(loader, "_model_mapping", None)
    if mapping is None:
        return loader
    found = mapping[type(config)]
    return found[0] if isinstance(found, tuple | list) else found
