import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presets.errors import InputError
from recommender.model.families import spec_from_config
from recommender.model.spec import NeedsAnatomy

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 300,
    "max_position_embeddings": 2048,
}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"vocab_size": 0}, "vocab_size must be at least 1"),
        ({"hidden_size": -4096}, "hidden_size must be at least 1"),
        ({"hidden_size": 66}, "hidden_size 66 is not a multiple of num_attention_heads 4"),
        ({"num_key_value_heads": 3}, "num_attention_heads 4 is not a multiple of num_key_value_heads 3"),
        ({"num_hidden_layers": None}, "num_hidden_layers is missing"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000"),
        ({"hidden_size": "64"}, "hidden_size must be a whole number"),
        ({"hidden_size": 64.5}, "hidden_size must be a whole number"),
        ({"hidden_size": True}, "hidden_size must be a whole number"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false"),
        ({"architectures": "LlamaForCausalLM"}, "architectures must be a list"),
        ({"quantization_config": "gptq"}, "quantization_config must be an object"),
        ({"torch_dtype": 16}, "torch_dtype must be a string"),
    ],
)
def test_a_wrong_field_names_file_and_field(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        spec_from_config({**LLAMA, **change}, origin="/models/m/config.json")
    assert caught.value.message.startswith("/models/m/config.json")
    assert caught.value.remedy


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "T5ForConditionalGeneration", "MistralModel"])
def test_a_model_that_does_not_generate_is_refused(architecture: str) -> None:
    with pytest.raises(InputError, match=f"{architecture} is not a causal language model"):
        spec_from_config({**LLAMA, "architectures": [architecture], "model_type": "bert"})


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"model_type": "llama"}, False),
        ({"model_type": "gpt2"}, True),
        ({"model_type": "mamba2"}, True),
        ({"model_type": "not_yet"}, True),
        ({"model_type": "gemma4", "text_config": LLAMA}, True),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_type_without_an_architecture_is_read(change: dict[str, Any], asked: bool) -> None:
    spec = spec_from_config({**{key: value for key, value in LLAMA.items() if key != "architectures"}, **change})
    assert spec.model_type == change["model_type"]
    assert (spec.needs_anatomy, spec.unsupported) == (asked, "")


@pytest.mark.parametrize(
    ("name", "method", "said"),
    [
        ("Qwen/Qwen3-8B-AWQ", "awq", r"\(AWQ\).* Take Qwen/Qwen3-8B, the same weights in 16 bits"),
        ("./Qwen3-8B-GPTQ-Int4/", "gptq", r"\(GPTQ\).* Take Qwen/Qwen3-8B,"),
        ("someone/Llama-3.1-8B-Instruct-AWQ-INT4", "awq", "Take meta-llama/Llama-3.1-8B-Instruct,"),
        ("org/m-AWQ", "awq", r"\(AWQ\).* usually under the same name without AWQ"),
        ("org/m-GPTQ", "gptq", r"\(GPTQ\)"),
    ],
)
def test_what_nothing_is_trained_over_names_what_can_be_taken(name: str, method: str, said: str) -> None:
    spec = spec_from_config({**LLAMA, "quantization_config": {"quant_method": method}}, name=name)
    assert re.search(said, spec.unsupported)


def test_neither_architecture_nor_type_is_refused() -> None:
    with pytest.raises(InputError, match="unknown architecture"):
        spec_from_config({"hidden_size": 64})


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"},
        {"architectures": ["NemotronHForCausalLM"], "model_type": "nemotron_h"},
        {"architectures": ["NewForCausalLM"], "model_type": "new"},
        # Transformers has the class, so that the repository's own code is not needed.
        {"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "auto_map": {"AutoModel": "m.M"}},
    ],
    ids=lambda change: str(change["model_type"]),
)
def test_a_causal_model_of_no_hand_written_family_is_to_be_learned(change: dict[str, Any]) -> None:
    spec = spec_from_config({**LLAMA, **change})
    assert spec.needs_anatomy and not spec.unsupported and not spec.own_code
    assert spec.hidden_size == 64 and spec.linears == ()
    assert spec.config == {**LLAMA, **change}
    with pytest.raises(NeedsAnatomy, match="has not been learned"):
        spec.require_supported()


def test_a_model_that_also_sees_shows_its_text_side() -> None:
    config = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "torch_dtype": "bfloat16",
        "text_config": {"hidden_size": 2560, "num_hidden_layers": 34, "model_type": "gemma3_text"},
    }
    spec = spec_from_config(config)
    assert spec.needs_anatomy and not spec.unsupported
    assert (spec.hidden_size, spec.num_layers, spec.dtype) == (2560, 34, "bfloat16")


def test_old_and_new_name_of_the_stored_dtype() -> None:
    assert spec_from_config({**LLAMA, "torch_dtype": "float16"}).dtype == "float16"
    assert spec_from_config({**LLAMA, "dtype": "torch.bfloat16"}).dtype == "bfloat16"
    assert spec_from_config(LLAMA).dtype is None


def test_tied_where_the_key_is_absent_follows_the_family() -> None:
    gemma = {**LLAMA, "architectures": ["GemmaForCausalLM"], "model_type": "gemma"}
    assert not spec_from_config(LLAMA).tied
    assert spec_from_config(gemma).tied
    assert spec_from_config(gemma).head_dim == 256


def test_sliding_window_only_where_it_is_on() -> None:
    qwen = {**LLAMA, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "sliding_window": 512}
    assert spec_from_config(qwen).sliding_window is None
    assert spec_from_config({**qwen, "use_sliding_window": True}).sliding_window == 512
    mistral = {**LLAMA, "architectures": ["MistralForCausalLM"], "model_type": "mistral"}
    assert spec_from_config(mistral).sliding_window == 4096
    assert spec_from_config({**mistral, "sliding_window": None}).sliding_window is None


def test_fused_experts_are_neither_linear_nor_adapted() -> None:
    config = {
        **LLAMA,
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    }
    spec = spec_from_config(config)
    assert {linear.name for linear in spec.linears} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert spec.other_parameters == 2 * (4 * 64 + 4 * 3 * 64 * 128)
    with pytest.raises(InputError, match="more than the 4 experts"):
        spec_from_config({**config, "num_experts_per_tok": 5})


@pytest.mark.parametrize(
    ("settings", "name", "refused"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bnb-4bit", ""),
        ({"load_in_4bit": True}, "bnb-4bit", ""),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb-8bit", "8-bit bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4}, "gptq", "GPTQ"),
        ({"quant_method": "awq"}, "awq", "AWQ"),
        ({"quant_method": "fp8"}, "fp8", ""),
        ({"quant_method": "fbgemm_fp8"}, "fp8", ""),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, "fp8", ""),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8", ""),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", "NVFP4"),
        ({"quant_method": "mxfp4"}, "mxfp4", ""),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors", "compressed-tensors"),
        ({"quant_method": "hqq"}, "hqq", "hqq"),
    ],
)
def test_weights_that_are_quantised_already(settings: dict[str, Any], name: str, refused: str) -> None:
    spec = spec_from_config({**LLAMA, "quantization_config": settings})
    assert spec.quantization == name
    assert (refused in spec.unsupported) if refused else spec.unsupported == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)
KEYS = [*LLAMA, "tie_word_embeddings", "head_dim", "sliding_window", "quantization_config", "text_config", "dtype"]
MOE_KEYS = ["num_experts", "num_experts_per_tok", "mlp_only_layers", "decoder_sparse_step", "moe_intermediate_size"]


@given(
    changes=st.dictionaries(st.sampled_from([*KEYS, *MOE_KEYS, "final_logit_softcapping", "layer_types"]), JSON),
    model_type=st.sampled_from(["llama", "gemma2", "qwen3_moe", "gpt_oss", "phi3", "new"]),
)
def test_whatever_a_config_says_is_a_spec_or_an_input_error(changes: dict[str, Any], model_type: str) -> None:
    try:
        spec = spec_from_config({**LLAMA, "model_type": model_type, **changes})
    except InputError:
        return
    assert spec.total_parameters >= 0


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": ["\x1b]0;PWN\x07EvilForCausalLM"]},
        {"architectures": ["Evil ForCausalLM"]},
        {"model_type": "ev\x1b[2Jil", "architectures": ["NewForCausalLM"]},
        {"torch_dtype": "bf\x1b[31m16"},
    ],
)
def test_names_that_would_drive_a_terminal_are_refused_and_shown_harmless(change: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        spec_from_config({**LLAMA, **change})
    assert refused.value.message.isprintable()


def test_sizes_of_each_layer_are_no_error_before_the_class_is_asked() -> None:
    """Gemma 3n lists one width a layer; GLM-5 Next writes head_dim 0."""
    text = {"model_type": "gemma3n_text", "hidden_size": 64, "intermediate_size": [128, 256], "head_dim": 0}
    config = {"model_type": "gemma3n", "architectures": ["Gemma3nForConditionalGeneration"], "text_config": text}
    spec = spec_from_config(config, "x")
    assert spec.needs_anatomy and spec.intermediate_size == 256
