import pytest

from presets.models import CatalogueModel, find_model, load_models, nearest_names
from recommender.model.families import spec_from_config


@pytest.mark.parametrize("model", load_models(), ids=lambda model: model.name)
def test_computed_total_is_the_published_one(model: CatalogueModel) -> None:
    spec = spec_from_config(model.config, model.hub_id)
    assert abs(spec.total_parameters - model.parameters) <= 0.005 * model.parameters
    parts = spec.embedding_parameters + spec.head_parameters + spec.linear_parameters
    assert parts + spec.norm_parameters + spec.other_parameters == spec.total_parameters


def test_catalogue_is_broad() -> None:
    models = load_models()
    assert len(models) >= 40
    assert len({model.config["model_type"] for model in models}) >= 10


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


def test_offers_the_nearest_names() -> None:
    assert "llama-3.1-8b-instruct" in nearest_names("meta-llama/Llama-3.1-8B-Instuct")
