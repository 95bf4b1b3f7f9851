"""The class that is trained for a config.json document, built on meta: names and shapes without memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from packaging.version import InvalidVersion, Version
from transformers import CONFIG_MAPPING, PretrainedConfig

from presets.errors import InputError
from trainer.classes.build import without_towers
from trainer.classes.choose import Classes, classes_of, text_part
from trainer.classes.packages import needs

IGNORED = ("quantization_config", "auto_map", "_name_or_path", "_attn_implementation", "_attn_implementation_internal")
"""Keys of config.json that say nothing of what is built."""
REMEDY = "Get config.json again from where the model came from, or correct it."


@dataclass(frozen=True)
class Built:
    """The class that is trained, on meta, as it is loaded."""

    model: Any
    classes: Classes
    tower_parameters: int
    """Of the trained class's other towers, which are not loaded; 0 where they want a package that is not here."""
    served_parameters: int
    """Of the whole class that config.json names; of the trained one where that cannot be built here."""


def build(document: Mapping[str, Any]) -> Built:
    """Build the class that is trained, and count the one that is served.

    Raises:
        InputError: Transformers has no class for it, or cannot build it of these sizes.
    """
    config = config_of(document)
    classes = classes_of(config)
    kind = without_towers(classes)
    model = on_meta(kind, classes.config)
    model.__class__ = classes.trained
    own = parameters_of(model)
    whole = own if kind is classes.trained else _counted(classes.trained, classes.config) or own
    served = _counted(classes.served, config) or whole if classes.text_only else whole
    return Built(model, classes, whole - own, served)


def _counted(kind: type[Any], config: PretrainedConfig) -> int:
    """Parameters of a class with all of its towers; 0 where it wants what is not here."""
    try:
        return parameters_of(on_meta(kind, config))
    except InputError:
        return 0


def config_of(document: Mapping[str, Any]) -> PretrainedConfig:
    """Read a config.json document as Transformers does.

    Raises:
        InputError: This Transformers knows no such model, or refuses the values.
    """
    values = {key: _float(value) for key, value in document.items() if key not in IGNORED}
    kind = _config_class(values)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config: PretrainedConfig = kind.from_dict(values)
    except Exception as problem:
        raise InputError(f"Transformers refuses this config.json: {one_line(problem)}", remedy=REMEDY) from problem
    text = text_part(config)
    # A padding token beyond a small vocabulary would stop the embedding from being built.
    padding, vocabulary = getattr(text, "pad_token_id", None), getattr(text, "vocab_size", None)
    if isinstance(padding, int) and isinstance(vocabulary, int) and padding >= vocabulary:
        text.pad_token_id = None
    return config


def _float(value: Any) -> Any:
    """Return a value with the numbers that JSON lacks; Transformers 5 writes them as `{"__float__": "Infinity"}`."""
    if isinstance(value, Mapping):
        if value.keys() == {"__float__"}:
            return float(value["__float__"])
        return {key: _float(part) for key, part in value.items()}
    return [_float(part) for part in value] if isinstance(value, list) else value


def _config_class(values: Mapping[str, Any]) -> type[PretrainedConfig]:
    named_type = values.get("model_type")
    if isinstance(named_type, str) and named_type in CONFIG_MAPPING:
        known: type[PretrainedConfig] = CONFIG_MAPPING[named_type]
        return known
    named = (values.get("architectures") or [None])[0]
    found = getattr(getattr(transformers, str(named), None), "config_class", None)
    if named_type is None and isinstance(found, type) and issubclass(found, PretrainedConfig):
        return found
    raise InputError(f"Transformers {transformers.__version__} {_has_no(values)}", remedy=_newer(values))


def _has_no(values: Mapping[str, Any]) -> str:
    named = (values.get("architectures") or [None])[0]
    kind = values.get("model_type")
    return f"has no class for {named or 'this model'} (model_type {kind!r})."


def _newer(values: Mapping[str, Any]) -> str:
    """What to install, where config.json says by which newer version it was written."""
    written = str(values.get("transformers_version") or "")
    try:
        newer = Version(written) > Version(transformers.__version__)
    except InvalidVersion:
        newer = False
    if not newer:
        return "Choose a model whose class this version has, or install a newer one: pip install -U transformers."
    wanted = Version(written).base_version
    return f"config.json was written by Transformers {written}, which has it: pip install -U 'transformers>={wanted}'."


def on_meta(kind: type[Any], config: PretrainedConfig) -> Any:
    """Build a class on meta.

    Raises:
        InputError: The class cannot be built of these sizes, or wants a package that is not installed.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind._from_config(config)
    except ImportError as problem:
        why, remedy = needs(problem)
        raise InputError(f"{kind.__name__} cannot be built: {why}.", remedy=f"{remedy}, then try again.") from problem
    except Exception as problem:
        raise InputError(
            f"Transformers {transformers.__version__} cannot build {kind.__name__} from this config.json: "
            f"{one_line(problem)}",
            remedy=REMEDY,
        ) from problem


def parameters_of(model: Any) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def one_line(problem: Exception, most: int = 300) -> str:
    """A library's error in one line."""
    said = " ".join(str(problem).split()) or "no reason given"
    return f"{type(problem).__name__}: {said}"[:most].rstrip(".") + "."
