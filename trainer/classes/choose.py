"""Which class of Transformers is trained for a configuration, and which one a server of the model builds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import transformers
from transformers import GenerationMixin, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MULTIMODAL_LM_MAPPING

from presets.errors import InputError


@dataclass(frozen=True)
class Classes:
    """The classes of one model.

    Attributes:
        trained: What is built and trained.
        served: What config.json's `architectures` names: servers and people build it, and adapters are written for it.
        config: The configuration that `trained` is built with: the text part's where it is a text-only class.
        document: The whole configuration, which `served` is built with.
        text_config: The text part's configuration; `config` itself where the model is text alone.
    """

    trained: type[Any]
    served: type[Any]
    config: PretrainedConfig
    text_config: PretrainedConfig
    document: PretrainedConfig

    @property
    def text_only(self) -> bool:
        """Whether the trained class is the text part of a larger one that is served."""
        return self.trained is not self.served


def classes_of(config: PretrainedConfig) -> Classes:
    """Return the class to train and the class that is served.

    Trained is what `AutoModelForCausalLM` builds: it loads the published repository by Transformers' own mapping of
    keys. That is a text-only class (Qwen 3.5, Llama 4) or the whole one (Gemma 3, Gemma 4). A type without such a class
    (Mistral 3, Qwen3-VL) is trained as the class for several modalities.

    Args:
        config: The whole document, as `AutoConfig` reads it.

    Raises:
        InputError: This Transformers has no class for that type that predicts the next token.
    """
    text_config = text_part(config)
    whole = _registered(MODEL_FOR_MULTIMODAL_LM_MAPPING, config)
    causal = _registered(MODEL_FOR_CAUSAL_LM_MAPPING, config)
    trained = causal or whole
    if trained is None:
        raise InputError(
            f"Transformers {transformers.__version__} has no class for '{config.model_type}' that predicts the next "
            "token of a text.",
            remedy="Train a model of another type, or a version of Transformers that has a causal class for it.",
        )
    named = _named(config.architectures or ())
    served = named if named is not None else (whole or trained)
    if not _is_part_of(trained, served, config):
        served = trained
    own = getattr(trained, "config_class", None)
    of_text_alone = own is not type(config) and own is type(text_config)
    if of_text_alone and (quantised := getattr(config, "quantization_config", None)) is not None:
        text_config.quantization_config = quantised
    return Classes(trained, served, text_config if of_text_alone else config, text_config, config)


def text_part(config: PretrainedConfig) -> PretrainedConfig:
    """Return the configuration of the text part that predicts; the decoder's where there are two."""
    try:
        return config.get_text_config()
    except ValueError:
        # MusicGen and its like have an encoder of text too.
        return config.get_text_config(decoder=True)


def _registered(mapping: Any, config: PretrainedConfig) -> type[Any] | None:
    if type(config) not in mapping:
        return None
    found = mapping[type(config)]
    if isinstance(found, tuple | list):
        named = [x for x in found if x.__name__ in (config.architectures or ())]
        found = (named or found)[0]
    return found if isinstance(found, type) else None


def _named(architectures: Iterable[str]) -> type[Any] | None:
    """Return the first of the classes that Transformers has and that predicts tokens."""
    for name in architectures:
        found = getattr(transformers, name, None)
        if isinstance(found, type) and issubclass(found, GenerationMixin):
            return found
    return None


def _is_part_of(trained: type[Any], served: type[Any], config: PretrainedConfig) -> bool:
    """Whether the served class is built from this document, and the trained one is it or its text part."""
    part = getattr(trained, "config_class", None)
    if getattr(served, "config_class", None) is not type(config):
        return False
    return part is type(config) or part in (config.sub_configs or {}).values()
