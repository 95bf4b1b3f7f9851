"""The trained class built without the parts that text never passes through: towers that see or hear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from presets.errors import InputError
from trainer.classes.choose import Classes, text_part
from trainer.classes.load import pretrained


class LeftOut(nn.Module):
    """The place of a tower that is not built: it has no weight, and nothing may pass through it."""

    def forward(self, *_: Any, **__: Any) -> Any:
        """Refuse: text does not come here."""
        raise RuntimeError("This part of the model is left out: only its text part is trained.")


def skeleton(classes: Classes, *, dtype: torch.dtype, attention: str = "sdpa", towers: bool = False) -> Any:
    """Build the trained class on the meta device: names and shapes, no memory.

    Args:
        classes: Of `trainer.classes.choose.classes_of`.
        dtype: Of its weights.
        attention: Transformers' `attn_implementation`.
        towers: Whether the other modalities' towers are built too.

    Raises:
        ImportError: A package that the class needs is not installed.
    """
    with torch.device("meta"):
        if towers:
            return built_of(classes.trained, classes.config, dtype=dtype, attn_implementation=attention)
        return without_towers(classes)._from_config(classes.config, dtype=dtype, attn_implementation=attention)


def built_of(kind: type[Any], config: PretrainedConfig, **options: Any) -> Any:
    """Build a class of a configuration, without those towers whose package is not installed.

    Args:
        kind: Transformers' class.
        config: Its configuration.
        options: For `_from_config`.
    """
    try:
        return kind._from_config(config, **options)
    except ImportError:
        with _unbuilt(config):
            return kind._from_config(config, **options)


def load_trained(classes: Classes, path: Path, *, towers: bool = False, **options: Any) -> Any:
    """Load the trained class from a published repository.

    Args:
        classes: Of `classes_of`, whose configuration may have been changed since.
        path: The repository's folder.
        towers: Whether the other modalities' towers are loaded too: they are where the whole model is saved again.
        options: As `trainer.classes.load.pretrained` takes them.

    Raises:
        OSError: No weights that can be read. ImportError: A package that the class needs is not installed.
        InputError: The files are torn.
    """
    kind = classes.trained if towers else without_towers(classes)
    model = pretrained(kind, path, config=classes.config, **options)
    # A subclass only while it was built: saved files and mappings of keys name the class itself.
    model.__class__ = classes.trained
    if towers:
        for name in other_parts(model):
            model.get_submodule(name).requires_grad_(False)
    return model


def without_towers(classes: Classes) -> type[Any]:
    """Return the trained class, as a subclass that leaves its other towers out; itself where it is text alone."""
    if classes.config is classes.text_config or not _sub_configs(classes.config):
        return classes.trained
    trained = classes.trained

    def __init__(self: Any, config: PretrainedConfig, *arguments: Any, **options: Any) -> None:
        try:
            trained.__init__(self, config, *arguments, **options)
        except ImportError:
            # A tower of a package that is not here (timm, say): it is not needed.
            self.__dict__.clear()
            with _unbuilt(config):
                trained.__init__(self, config, *arguments, **options)
        leave_out(self)

    same = {"__init__": __init__, "__module__": trained.__module__, "__qualname__": trained.__qualname__}
    return type(trained.__name__, (trained,), same)


def leave_out(model: Any) -> tuple[str, ...]:
    """Put nothing in the place of each tower that text does not pass through; returns their names."""
    names = tuple(name for name in other_parts(model) if not _embeds_tokens(model.get_submodule(name)))
    for name in names:
        model.set_submodule(name, LeftOut())
    return names


def _embeds_tokens(module: nn.Module) -> bool:
    """Whether a part is no model of its own and takes tokens: all text goes through Gemma 3n's `embed_vision`."""
    return not isinstance(module, PreTrainedModel) and "input_ids" in signature(module.forward).parameters


def text_prefix(model: Any) -> str:
    """Return the name of the module that is the text part; empty where the whole model is.

    It is the outermost model inside the model that is built from the text part's configuration.
    """
    text = text_part(model.config)
    if text is model.config:
        return ""
    inside = (name for name, x in model.named_modules() if name and isinstance(x, PreTrainedModel) and _is(x, text))
    return next(inside, "")


def other_parts(model: Any) -> tuple[str, ...]:
    """Return the names of the modules beside the text part: towers, and what joins them to it.

    They are the siblings of the modules between the root and the text part, without the head. In a model whose text
    part has no configuration of its own they are the modules that are built from another modality's configuration.
    """
    prefix = text_prefix(model)
    if not prefix:
        return _towers_inside(model)
    head, path, found = model.get_output_embeddings(), "", []
    for step in prefix.split("."):
        for name, module in model.get_submodule(path).named_children():
            inside = head is not None and any(x is head for x in module.modules())
            if name != step and not inside and next(module.parameters(), None) is not None:
                found.append(f"{path}.{name}".lstrip("."))
        path = f"{path}.{step}".lstrip(".")
    return tuple(found)


def _towers_inside(model: Any) -> tuple[str, ...]:
    others = [
        getattr(model.config, name)
        for name in _sub_configs(model.config)
        if name.startswith(("vision", "audio", "vq_", "speech")) and getattr(model.config, name, None) is not None
    ]
    found: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{other}.") for other in found)
        if name and not inside and isinstance(module, PreTrainedModel) and any(_is(module, x) for x in others):
            found.append(name)
    return tuple(found)


def _is(module: Any, config: PretrainedConfig) -> bool:
    return module.config is config or type(module.config) is type(config)


def _sub_configs(config: PretrainedConfig) -> tuple[str, ...]:
    return tuple(config.sub_configs or ())


@contextmanager
def _unbuilt(config: PretrainedConfig) -> Iterator[None]:
    """Have `AutoModel` build nothing for a configuration that is not the text part's."""
    text = text_part(config)
    others = [getattr(config, name, None) for name in _sub_configs(config)]
    built: Callable[..., Any] = AutoModel.from_config

    def from_config(asked: PretrainedConfig, **options: Any) -> Any:
        return LeftOut() if any(asked is x for x in others if x is not text) else built(asked, **options)

    AutoModel.from_config = from_config
    try:
        yield
    finally:
        del AutoModel.from_config


def require_decoder(classes: Classes) -> None:
    """Check that the model reads and writes one sequence.

    Raises:
        InputError: It is an encoder with a decoder: its rows would need two texts.
    """
    if getattr(classes.config, "is_encoder_decoder", False) and classes.trained is classes.served:
        raise InputError(
            f"{classes.trained.__name__} has an encoder and a decoder: it is trained on pairs of texts, not on one.",
            remedy="Name a decoder model: a type that Transformers' AutoModelForCausalLM has.",
        )
