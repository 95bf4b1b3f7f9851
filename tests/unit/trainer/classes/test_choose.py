"""Which class is trained and which one is served, over every model type that Transformers has."""

from __future__ import annotations

from typing import Any

import pytest
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)

from presets.errors import InputError
from trainer.classes.choose import classes_of

# Its default configuration is refused by Transformers itself: an assistant shares all of the keys and values.
NEEDS_MORE: dict[str, dict[str, Any]] = {
    "gemma4_assistant": {
        "text_config": {
            "model_type": "gemma4_text",
            "num_hidden_layers": 2,
            "num_kv_shared_layers": 2,
            "hidden_size_per_layer_input": 0,
            "vocab_size_per_layer_input": 0,
        }
    }
}

# (model type, trained, served)
TEXT_CLASSES = [
    ("qwen3_5", "Qwen3_5ForCausalLM", "Qwen3_5ForConditionalGeneration"),
    ("qwen3_5_moe", "Qwen3_5MoeForCausalLM", "Qwen3_5MoeForConditionalGeneration"),
    ("qwen4_exp", "Qwen4ExpForCausalLM", "Qwen4ExpForConditionalGeneration"),
    ("llama4", "Llama4ForCausalLM", "Llama4ForConditionalGeneration"),
    ("mllama", "MllamaForCausalLM", "MllamaForConditionalGeneration"),
    ("emu3", "Emu3ForCausalLM", "Emu3ForConditionalGeneration"),
    ("dots3_note", "Dots3NoteForCausalLM", "Dots3NoteForConditionalGeneration"),
]
WHOLE_CLASSES = [
    ("gemma3", "Gemma3ForConditionalGeneration"),
    ("gemma3n", "Gemma3nForConditionalGeneration"),
    ("gemma4", "Gemma4ForConditionalGeneration"),
    ("gemma4_unified", "Gemma4UnifiedForConditionalGeneration"),
    ("mistral3", "Mistral3ForConditionalGeneration"),
    ("qwen3_vl", "Qwen3VLForConditionalGeneration"),
    ("qwen3_vl_moe", "Qwen3VLMoeForConditionalGeneration"),
    ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
    ("muse_glimmer", "MuseGlimmerForConditionalGeneration"),
    ("lfm2_vl", "Lfm2VlForConditionalGeneration"),
    ("mistral4", "Mistral4ForCausalLM"),
]


def config_of(model_type: str, **keys: Any) -> PretrainedConfig:
    """The default configuration of a type."""
    config = AutoConfig.for_model(model_type, **NEEDS_MORE.get(model_type, {}), **keys)
    assert isinstance(config, PretrainedConfig)
    return config


@pytest.mark.parametrize("model_type", sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
def test_every_causal_type_trains_what_the_auto_class_builds(model_type: str) -> None:
    config = config_of(model_type)

    classes = classes_of(config)

    assert classes.trained is MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    # InternLM3 and IQuestCoder are Llama's class with a configuration of their own.
    assert classes.config is config or isinstance(classes.config, classes.trained.config_class)
    assert classes.text_only == (classes.served.__name__ != classes.trained.__name__)
    assert classes.served.config_class is type(config) or not classes.text_only


@pytest.mark.parametrize("model_type", sorted({*MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES} - {"evolla"}))
def test_every_type_of_several_modalities_has_a_class(model_type: str) -> None:
    config = config_of(model_type)

    classes = classes_of(config)

    assert classes.served.__name__ == MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES[model_type] or not classes.text_only
    assert isinstance(classes.config, PretrainedConfig)


@pytest.mark.parametrize(("model_type", "trained", "served"), TEXT_CLASSES)
def test_a_text_class_is_trained_where_the_published_repository_loads_into_it(
    model_type: str, trained: str, served: str
) -> None:
    config = config_of(model_type, architectures=[served])

    classes = classes_of(config)

    assert (classes.trained.__name__, classes.served.__name__) == (trained, served)
    assert classes.text_only
    assert classes.config is classes.text_config is config.get_text_config()


@pytest.mark.parametrize(("model_type", "name"), WHOLE_CLASSES)
def test_the_whole_class_is_trained_where_it_is_the_only_one(model_type: str, name: str) -> None:
    config = config_of(model_type, architectures=[name])

    classes = classes_of(config)

    assert (classes.trained.__name__, classes.served.__name__) == (name, name)
    assert classes.config is config


def test_the_class_that_the_document_names_is_served() -> None:
    text_alone = classes_of(config_of("qwen3_5", architectures=["Qwen3_5ForCausalLM"]))
    a_head = classes_of(config_of("llama", architectures=["LlamaForSequenceClassification"]))
    unnamed = classes_of(config_of("qwen3_5"))

    assert not text_alone.text_only
    assert a_head.served is a_head.trained is transformers.LlamaForCausalLM
    assert unnamed.served is transformers.Qwen3_5ForConditionalGeneration


def test_a_type_that_predicts_no_token_is_refused_with_the_version() -> None:
    with pytest.raises(InputError, match=transformers.__version__):
        classes_of(config_of("vit"))


def test_the_auto_class_builds_the_class_that_is_said() -> None:
    text = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 32, "vocab_size": 64, "layer_types": None}
    config = config_of("qwen3_5", text_config=text)

    model = AutoModelForCausalLM.from_config(config)

    assert type(model) is classes_of(config).trained
