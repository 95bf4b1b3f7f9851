"""Anatomies that ship with the program: one for each model of the catalogue that needs one, and no other."""

from __future__ import annotations

import json

import pytest

from presets.models import CatalogueModel, load_models
from recommender.model.anatomies import SHIPPED, key_of, shipped
from recommender.model.anatomy import from_document
from recommender.model.families import spec_from_config
from recommender.model.reader import read_model

LEARNED = [model for model in load_models() if spec_from_config(model.config).needs_anatomy]


def test_there_are_as_many_files_as_configurations() -> None:
    assert {path.stem for path in SHIPPED.glob("*.json")} == {key_of(model.config) for model in LEARNED}
    for path in SHIPPED.glob("*.json"):
        from_document(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("model", LEARNED, ids=lambda model: str(model.name))
def test_it_is_of_the_published_model(model: CatalogueModel) -> None:
    anatomy = shipped(model.config)
    assert anatomy is not None
    assert anatomy.served_parameters == model.parameters
    assert anatomy.linears and anatomy.sequence and anatomy.sizes.hidden


@pytest.mark.usefixtures("home")
def test_a_model_of_the_catalogue_is_planned_without_asking_its_class() -> None:
    spec = read_model("Qwen/Qwen3.5-9B", offline=True)
    assert not spec.needs_anatomy and spec.anatomy is not None
    assert spec.anatomy.trained_class == "Qwen3_5ForCausalLM"
    assert {"in_proj_qkv", "q_proj", "down_proj"} <= {linear.name for linear in spec.linears}
