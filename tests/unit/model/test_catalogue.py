from operator import attrgetter

import pytest

from presets.models import CatalogueModel, find_model, load_models, nearest_names
from recommender.model.families import spec_from_config
from recommender.model.family_table import FAMILIES

NAME = attrgetter("name")


# By line of ../shared models.md of this project's issue: what people tune most, November 2026.
FORTY = (
    *("Qwen/Qwen3.5-4B", "Qwen/Qwen3.5-9B", "Qwen/Qwen3.5-2B", "Qwen/Qwen3.5-0.8B", "Qwen/Qwen3.6-27B"),
    *("Qwen/Qwen3.6-35B-A3B", "Qwen/Qwen3.8-27B", "google/gemma-4-E2B-it", "google/gemma-4-E4B-it"),
    *("google/gemma-4-12B-it", "google/gemma-4-26B-A4B-it", "google/gemma-4-31B-it", "openai/gpt-oss-20b"),
    *("openai/gpt-oss-120b", "Qwen/Qwen3-8B", "Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3-0.6B", "Qwen/Qwen3-14B"),
    *("Qwen/Qwen3-32B", "Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-VL-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"),
    *("meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-3.2-3B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"),
    *("meta-llama/Llama-4-Scout-17B-16E-Instruct", "meta-models/Muse-Glimmer-30B"),
    *("mistralai/Ministral-3-3B-Reasoning-2512", "mistralai/Ministral-3-8B-Reasoning-2512"),
    *("mistralai/Ministral-3-14B-Reasoning-2512", "mistralai/Mistral-Small-3.2-24B-Instruct-2506"),
    *("mistralai/Magistral-Small-2509", "mistralai/Devstral-Small-2507", "microsoft/phi-4", "google/gemma-3-270m-it"),
    *("google/gemma-3-1b-it", "google/functiongemma-270m-it", "google/gemma-3-4b-it", "google/gemma-3-12b-it"),
    *("google/gemma-3-27b-it", "LiquidAI/LFM2.5-1.2B-Instruct", "ibm-granite/granite-4.0-micro"),
    *("ibm-granite/granite-4.0-h-micro", "ibm-granite/granite-4.0-h-tiny"),
    *("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "zai-org/GLM-4.7-Flash", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    *("HuggingFaceTB/SmolLM3-3B", "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-Coder-7B-Instruct"),
    *("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"),
    *("allenai/Olmo-3-7B-Instruct", "baidu/ERNIE-4.5-21B-A3B-PT"),
)


@pytest.mark.parametrize("model", [each for each in load_models() if each.config["model_type"] in FAMILIES], ids=NAME)
def test_computed_total_is_the_published_one(model: CatalogueModel) -> None:
    spec = spec_from_config(model.config, model.hub_id)
    assert abs(spec.total_parameters - model.parameters) <= 0.005 * model.parameters
    parts = spec.embedding_parameters + spec.head_parameters + spec.linear_parameters
    assert parts + spec.norm_parameters + spec.other_parameters == spec.total_parameters


def test_catalogue_is_broad() -> None:
    models = load_models()
    assert len(models) >= 90
    assert len({model.config["model_type"] for model in models}) >= 35
    assert [name for name in FORTY if find_model(name) is None] == []
    assert all(model.source for model in models)


def test_demo_model_is_exact() -> None:
    model = find_model("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert model is not None
    assert spec_from_config(model.config).total_parameters == model.parameters == 134_515_008


def test_a_model_is_planned_in_the_form_in_which_it_is_published() -> None:
    model = find_model("gpt-oss-20b")
    assert model is not None
    spec = spec_from_config(model.config)
    assert (spec.quantization, spec.held_packed, spec.unsupported) == ("mxfp4", False, "")


def test_found_by_any_of_its_names() -> None:
    names = ("llama-3.1-8b-instruct", "META-LLAMA/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B-Instruct")
    assert len({id(find_model(name)) for name in names}) == 1
    assert find_model("no/such") is None


@pytest.mark.parametrize(
    ("said", "nearest"),
    [("Qwen3.5-4b-instruct", "qwen3.5-4b"), ("gemma-4-12b", "gemma-4-12b-it"), ("qwen3.7-27b", "qwen3.8-27b")],
)
def test_a_name_without_or_with_instruct_is_near(said: str, nearest: str) -> None:
    assert nearest_names(said)[0] == nearest


def test_offers_the_nearest_names() -> None:
    assert "llama-3.1-8b-instruct" in nearest_names("meta-llama/Llama-3.1-8B-Instuct")
